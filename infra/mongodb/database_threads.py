"""Blocking calls and transactions of one adapter, in threads, each within a time limit.

The driver's own limit begins when a thread takes the call up. With a server that hangs, threads are
what is short, so the wait for one is limited, too.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from pymongo import ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from infra.mongodb.async_database import BlockingDatabase

DURABLE: Final = WriteConcern(w="majority", j=True)
"""On the disks of a majority before a write is acknowledged."""

_SNAPSHOT: Final = ReadConcern("snapshot")

T = TypeVar("T")


class DatabaseThreads:
    """Some threads on a database. Independent of any event loop. `close` them."""

    def __init__(
        self,
        database: BlockingDatabase,
        name: str,
        *,
        threads: int,
        seconds: float,
        unavailable: type[Exception],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """`seconds` bounds each call. Where it fails, or `close` was called, `unavailable` is
        raised with a message that begins with `name`. `prepare` makes indexes; it is called once,
        in the thread of the first call, and has to bear being called by two at the same time."""
        self._database = database
        self._name = name
        self._threads = ThreadPoolExecutor(threads, "mongo")
        self._seconds = seconds
        self._unavailable = unavailable
        self._prepare = prepare
        self._prepared = False
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """The result of a call, which may raise errors of its own, too."""
        if self._closed:
            raise self._unavailable(f"{self._name} was closed")

        def run_prepared() -> T:
            if not self._prepared:
                self._prepare()
                self._prepared = True
            return work()

        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, run_prepared)
        except (PyMongoError, TimeoutError) as error:
            message = f"{self._name} in MongoDB: {str(error) or 'no answer in time'}"
            raise self._unavailable(message) from error

    async def transact(self, work: Callable[[ClientSession], T]) -> T:
        """The result of a transaction, which is tried again where it met another one.

        It reads one snapshot, and its writes are durable when this returns.
        """

        def run_transaction() -> T:
            with self._database.client.start_session() as session:
                return session.with_transaction(work, _SNAPSHOT, DURABLE, ReadPreference.PRIMARY)

        return await self.run(run_transaction)

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
