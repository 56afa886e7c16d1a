"""Fixtures for every test."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.outside import missing, shared_data_folder

if TYPE_CHECKING:
    from infra.engines.mongodb import MongoServer


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the data sets that tests read, never write."""
    folder = shared_data_folder()
    if not folder.is_dir():
        missing(f"the data folder {folder}")
    return folder


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator["MongoServer"]:
    """One server for all tests: each uses a database of its own. Who kills it starts it again."""
    # Only where a test asks for it.
    from infra.engines.engine import EngineMissing, running
    from infra.engines.mongodb import MongoServer

    try:
        with running(MongoServer(tmp_path_factory.mktemp("mongodb"))) as server:
            yield server
    except EngineMissing as error:
        missing(f"MongoDB ({error})")
