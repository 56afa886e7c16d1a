"""Fixtures for every test, and an end for each."""

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import settings

from tests.support.requirements import shared_data_folder, skip_or_fail
from tests.support.soak import amount

if TYPE_CHECKING:
    from infra.dev.mongodb_server import MongoServer

# How long an example takes says something about the machine, not about the code.
settings.register_profile("starling", deadline=None, max_examples=amount(40, 100))
settings.load_profile("starling")


TEARDOWN_SECONDS = 120
"""More than any fixture takes to end."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """End the whole run, with the stacks of this process's threads, where a teardown hangs.

    A test that was stopped at its timeout may leave a task behind that never ends, and
    pytest-timeout stops a test once. A worker that merely dies may leave its controller waiting.
    """
    stderr = item.config.stash[fault_handler_stderr_fd_key]  # what is not captured

    def end_run() -> None:
        os.write(stderr, f"the teardown of {item.nodeid} hangs\n".encode())
        faulthandler.dump_traceback(stderr)
        os.kill(os.getppid() if hasattr(item.config, "workerinput") else os.getpid(), signal.SIGINT)
        time.sleep(10)
        os._exit(1)

    watch = threading.Timer(TEARDOWN_SECONDS, end_run)
    watch.daemon = True
    watch.start()
    try:
        return (yield)
    finally:
        watch.cancel()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the data sets that tests read, never write."""
    folder = shared_data_folder()
    if not folder.is_dir():
        skip_or_fail(f"the data folder {folder}")
    return folder


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator["MongoServer"]:
    """One server for all tests, each in its own database; a test that kills it starts it again."""
    # Only where a test asks for it.
    from infra.dev.local_engine import EngineMissing, running_engine
    from infra.dev.mongodb_server import MongoServer

    try:
        with running_engine(MongoServer(tmp_path_factory.mktemp("mongodb"))) as server:
            yield server
    except EngineMissing as error:
        skip_or_fail(f"MongoDB ({error})")
