"""Fixtures for every test."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.requirements import shared_data_folder, skip_or_fail
from tests.support.soak import amount

if TYPE_CHECKING:
    from infra.dev.mongodb_server import MongoServer

# How long an example takes says something about the machine, not about the code.
settings.register_profile("starling", deadline=None, max_examples=amount(40, 100))
settings.load_profile("starling")


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
