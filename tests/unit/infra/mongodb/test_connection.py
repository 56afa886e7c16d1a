"""Connections to MongoDB."""

import pytest
from pymongo.errors import InvalidOperation, ServerSelectionTimeoutError

from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import READ_SECONDS, WRITE_SECONDS, open_blocking_database

NOWHERE = "mongodb://127.0.0.1:9/starling"


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.mongodb.connection.READ_SECONDS", 0.2)


def assert_closed(database: BlockingDatabase) -> None:
    with pytest.raises(InvalidOperation):
        database.command("ping")


def test_what_has_one_time_limit_shares_a_client_which_the_last_one_closes() -> None:
    with open_blocking_database(NOWHERE, READ_SECONDS) as first:
        with (
            open_blocking_database(NOWHERE, READ_SECONDS) as second,
            open_blocking_database(NOWHERE, WRITE_SECONDS) as other,
        ):
            assert first.client is second.client
            assert first.client is not other.client
        assert_closed(other)
        with pytest.raises(ServerSelectionTimeoutError):
            first.command("ping")
    assert_closed(first)
    with open_blocking_database(NOWHERE, READ_SECONDS) as again:
        assert again.client is not first.client
