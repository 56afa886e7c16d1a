"""Counts of rate limits in MongoDB, for API processes on several machines.

The storage of the library `limits`, in two collections of the views' database.
"""

import threading
from contextlib import ExitStack
from typing import Any

from limits.storage import MongoDBStorage
from pymongo.uri_parser import parse_uri

from infra.mongodb.async_database import DEFAULT_DATABASE
from infra.mongodb.connection import READ_SECONDS, open_blocking_database


class MongoRateLimits(MongoDBStorage):
    """A `limits.storage.Storage` on a database, for any number of threads.

    It connects when it is first needed. Errors are raised as `limits.errors.StorageError`.
    """

    def __init__(self, address: str) -> None:
        self._connecting = threading.RLock()
        self._address = address
        self._opened = ExitStack()
        super().__init__(
            address,
            database_name=parse_uri(address, warn=False)["database"] or DEFAULT_DATABASE,
            counter_collection_name="rate_limit_counters",
            window_collection_name="rate_limit_windows",
            wrap_exceptions=True,
        )

    @property
    def storage(self) -> Any:
        """The connection: one, also where threads ask for it at the same time."""
        with self._connecting:
            return super().storage

    def _init_mongo_client(self, uri: str | None, **options: int | str | bool) -> Any:
        """The process's, in the place of one more."""
        return self._opened.enter_context(
            open_blocking_database(self._address, READ_SECONDS)
        ).client

    def close(self) -> None:
        """End the connection."""
        self._opened.close()

    def __del__(self) -> None:
        """Unlike the library's, which would connect where nothing was ever counted."""
