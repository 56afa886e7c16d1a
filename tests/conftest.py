"""Fixtures for every test."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.requirements import shared_data_folder, skip_or_fail

if TYPE_CHECKING:
    from infra.dev.mongodb_server import MongoServer


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the data sets that tests read, never write."""
    folder = shared_data_folder()
    if not folder.is_dir():
        skip_or_fail(f"the data folder {folder}")
    return folder


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator["MongoServer"]:
    """One server for all tests, each in a database of its own; who kills it starts it again."""
    # Only where a test asks for it.
    from infra.dev.local_engine import EngineMissing, running_engine
    from infra.dev.mongodb_server import MongoServer

    try:
        with running_engine(MongoServer(tmp_path_factory.mktemp("mongodb"))) as server:
            yield server
    except EngineMissing as error:
        skip_or_fail(f"MongoDB ({error})")
