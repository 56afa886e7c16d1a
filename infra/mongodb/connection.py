"""Connecting to MongoDB, and what its errors mean, for all adapters that store something there.

Every operation has one time limit over all its retries, so that a slow or absent server makes
errors and never a hang. The driver's limit begins when one of its threads takes the work up; with a
server that hangs, threads are what is short, so adapters set a limit around the wait for one, too.
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)

from infra.mongodb.async_database import (
    DEFAULT_DATABASE,
    DRIVERS,
    AsyncDatabase,
    BlockingDatabase,
)
from infra.settings import MongoDriver
from projections.store import StoreUnavailable

READ_SECONDS: Final = 2.0
"""How long a read for an HTTP request may take."""

WRITE_SECONDS: Final = 20.0
"""How long a transaction of a projector may take; for all that no HTTP request waits for."""

_STREAM_SILENCE_SECONDS: Final = 4.0
"""How long a change stream's socket may say nothing."""

_UNAVAILABLE_CODES: Final = frozenset(
    {24, 50, 91, 112, 189, 262, 10107, 11600, 11602, 13435, 13436}
)
"""Codes of a server that is stopping, no primary, or too slow; of locks and write conflicts."""
_DUPLICATE_KEY_CODE: Final = 11000


@asynccontextmanager
async def open_database(
    address: str, seconds: float, driver: MongoDriver = "motor"
) -> AsyncIterator[AsyncDatabase]:
    """The database that an address names. Connects when it is first used, and again after cuts.

    Open it in the event loop that uses it, after any fork. `seconds` bounds each operation, and
    `driver` is one of `DRIVERS`.
    """
    with open_blocking_database(address, seconds) as blocking:
        database = DRIVERS[driver](address, _client_options(seconds), blocking)
        try:
            yield database
        finally:
            await database.close()


@contextmanager
def open_blocking_database(address: str, seconds: float | None) -> Iterator[BlockingDatabase]:
    """The same for threads, which wait for each answer. All that have the same time limit share the
    connections; they are closed when the last one ends.

    `seconds` None is for change streams, whose operations have no end.
    """
    with _SHARED_CLIENTS.borrow(address, seconds) as client:
        yield client.get_default_database(DEFAULT_DATABASE)


BlockingClient = MongoClient[dict[str, Any]]


class _SharedClients:
    """The clients of a process: each has a thread and connections that watch the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[tuple[int, str, float | None], BlockingClient] = {}
        self._borrowers: Counter[tuple[int, str, float | None]] = Counter()

    @contextmanager
    def borrow(self, address: str, seconds: float | None) -> Iterator[BlockingClient]:
        key = (os.getpid(), address, seconds)  # a fork needs clients of its own
        with self._lock:
            self._borrowers[key] += 1
            client = self._clients.get(key)
            if client is None:
                options = _client_options(seconds)
                client = self._clients[key] = BlockingClient(address, connect=False, **options)
        try:
            yield client
        finally:
            with self._lock:
                self._borrowers[key] -= 1
                unused = self._clients.pop(key) if not self._borrowers[key] else None
            if unused is not None:
                unused.close()


_SHARED_CLIENTS: Final = _SharedClients()


def _client_options(seconds: float | None) -> dict[str, Any]:
    patience = READ_SECONDS if seconds is None else min(seconds, READ_SECONDS)
    return {
        "appname": "starling",
        "timeoutMS": None if seconds is None else int(seconds * 1000),
        "socketTimeoutMS": int(_STREAM_SILENCE_SECONDS * 1000) if seconds is None else None,
        "serverSelectionTimeoutMS": int(patience * 1000),
        "connectTimeoutMS": int(patience * 1000),
        "tz_aware": False,
    }


@contextmanager
def raising_unavailable() -> Iterator[None]:
    """Raise `StoreUnavailable` for the block's errors of MongoDB."""
    try:
        yield
    except PyMongoError as error:
        raise StoreUnavailable(f"MongoDB: {error}") from error


@asynccontextmanager
async def answering_within(seconds: float) -> AsyncIterator[None]:
    """Raise `StoreUnavailable` where the block's reads of MongoDB fail or take longer than that."""
    try:
        with raising_unavailable():
            async with asyncio.timeout(seconds):
                yield
    except TimeoutError as error:
        raise StoreUnavailable(f"MongoDB: no answer within {seconds:g} s") from error


def is_unreachable(error: Exception) -> bool:
    """Whether an error says that the server can't be reached or is too slow now."""
    if isinstance(error, OperationFailure) and not isinstance(error, ExecutionTimeout):
        return error.code in _UNAVAILABLE_CODES or is_transient(error)
    if isinstance(error, InvalidOperation):
        return "close" in str(error).lower()
    return isinstance(error, TimeoutError | ConnectionFailure | ExecutionTimeout) or (
        isinstance(error, PyMongoError) and error.timeout
    )


def is_transient(error: PyMongoError) -> bool:
    """Whether the same transaction, tried again, may succeed: nothing of it was done."""
    return error.has_error_label("TransientTransactionError")


def is_duplicate(error: PyMongoError) -> bool:
    """Whether a document that was to be added exists already."""
    if isinstance(error, BulkWriteError):
        return any(one.get("code") == _DUPLICATE_KEY_CODE for one in error.details["writeErrors"])
    return isinstance(error, DuplicateKeyError)
