"""A database over an asynchronous driver: Motor, or PyMongo's own asyncio client.

The two name most calls alike: what a collection does (`find`, `update_one`, `bulk_write`, ...) is
called the same way and awaited in the same places. This file holds what differs, and no other one
knows which driver runs. Motor hands each operation to a thread, PyMongo's client waits for sockets
in the event loop; `docs/adr` says what each costs.

Threads, which wait for each answer, use PyMongo's synchronous client beside it: `blocking`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.database import Database

from infra.settings import MongoDriver

BlockingDatabase = Database[dict[str, Any]]
DEFAULT_DATABASE: Final = "starling"
"""Where the address names no database."""

Documents = list[dict[str, Any]]


class AsyncDatabase(ABC):
    """The database that an address names. Collections are the driver's own.

    Make it in the event loop that uses it, after any fork. Methods raise `PyMongoError`.
    """

    def __init__(self, client: Any, blocking: BlockingDatabase) -> None:
        self.blocking: Final = blocking
        """The same database for threads, over connections of its own."""
        self.name: Final = blocking.name
        self._client: Final = client
        self._database: Final = client.get_default_database(DEFAULT_DATABASE)

    def __getitem__(self, name: str) -> Any:
        """A collection."""
        return self._database[name]

    async def list_collection_names(self, matching: Mapping[str, Any] | None = None) -> list[str]:
        """The names of the collections that there are."""
        names: list[str] = await self._database.list_collection_names(filter=matching)
        return names

    async def create_collection(self, name: str) -> None:
        """Create a collection. Raises `OperationFailure` where it exists."""
        await self._database.create_collection(name, check_exists=False)

    async def drop_collection(self, name: str) -> None:
        """Remove a collection; no error where there is none."""
        await self._database.drop_collection(name)

    @abstractmethod
    async def aggregate(
        self, collection: Any, pipeline: Sequence[Mapping[str, Any]], **options: Any
    ) -> Documents:
        """All documents that a pipeline finds."""

    @abstractmethod
    def start_session(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[Any]:
        """A session; with a snapshot, reads in it show one moment."""

    @abstractmethod
    def start_transaction(self) -> AbstractAsyncContextManager[Any]:
        """A session in a transaction, committed at the block's end."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""


class MotorDatabase(AsyncDatabase):
    """On Motor."""

    def __init__(self, address: str, options: Mapping[str, Any], blocking: BlockingDatabase):
        super().__init__(AsyncIOMotorClient(address, **options), blocking)

    async def aggregate(
        self, collection: Any, pipeline: Sequence[Mapping[str, Any]], **options: Any
    ) -> Documents:
        found: Documents = await collection.aggregate(pipeline, **options).to_list(None)
        return found

    @asynccontextmanager
    async def start_session(self, *, snapshot: bool = False) -> AsyncIterator[Any]:
        async with await self._client.start_session(snapshot=snapshot) as session:
            yield session

    @asynccontextmanager
    async def start_transaction(self) -> AsyncIterator[Any]:
        async with self.start_session() as session, session.start_transaction():
            yield session

    async def close(self) -> None:
        self._client.close()


class PyMongoDatabase(AsyncDatabase):
    """On PyMongo's asyncio client."""

    def __init__(self, address: str, options: Mapping[str, Any], blocking: BlockingDatabase):
        super().__init__(AsyncMongoClient(address, **options), blocking)

    async def aggregate(
        self, collection: Any, pipeline: Sequence[Mapping[str, Any]], **options: Any
    ) -> Documents:
        cursor = await collection.aggregate(pipeline, **options)
        found: Documents = await cursor.to_list(None)
        return found

    @asynccontextmanager
    async def start_session(self, *, snapshot: bool = False) -> AsyncIterator[Any]:
        async with self._client.start_session(snapshot=snapshot) as session:
            yield session

    @asynccontextmanager
    async def start_transaction(self) -> AsyncIterator[Any]:
        async with self.start_session() as session, await session.start_transaction():
            yield session

    async def close(self) -> None:
        await self._client.close()


DatabaseOpener = Callable[[str, Mapping[str, Any], BlockingDatabase], AsyncDatabase]
DRIVERS: Final[Mapping[MongoDriver, DatabaseOpener]] = {
    "motor": MotorDatabase,
    "pymongo": PyMongoDatabase,
}
"""The values of `STARLING_MONGO_DRIVER`."""
