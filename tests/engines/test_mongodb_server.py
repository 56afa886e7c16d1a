"""`starling serve` with its views in MongoDB: what holds embedded holds here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.dev.mongodb_server import MongoServer
from tests.e2e.test_multi_process_server import (
    test_a_new_name_shows_in_every_process,
    test_each_process_shows_at_once_what_was_written_through_any,
)
from tests.support.engines.mongodb_views import fresh_address
from tests.support.running_server import running_server

pytestmark = pytest.mark.engines

__all__ = [
    "test_a_new_name_shows_in_every_process",
    "test_each_process_shows_at_once_what_was_written_through_any",
]


@pytest.fixture(scope="module")
def server(mongodb: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two API processes."""
    data: Path = tmp_path_factory.mktemp("served") / "data"
    with running_server(data, STARLING_VIEWS=fresh_address(mongodb)) as address:
        yield address
