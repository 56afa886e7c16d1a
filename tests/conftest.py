"""Fixtures for every test."""

from pathlib import Path

import pytest

from tests.outside import missing, shared_data_folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the data sets that tests read, never write."""
    folder = shared_data_folder()
    if not folder.is_dir():
        missing(f"the data folder {folder}")
    return folder
