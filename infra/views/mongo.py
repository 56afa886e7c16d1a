"""Read models in MongoDB, through Motor: a collection for each table of a projection's version.

The tables of the view `posts_1` are the collections `posts_1.posts`, `posts_1.likes` and so on,
with documents as `infra.views.mongo_table` says; its positions are in `posts_1.position`, one
document for each partition of the feed.

A batch and its position are one transaction, so this needs a replica set or a sharded cluster.
"""

import asyncio
import random
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from pymongo.errors import PyMongoError

from infra.mongo import (
    READ_SECONDS,
    WRITE_SECONDS,
    Database,
    is_duplicate,
    is_transient,
    unreachable,
)
from infra.views.mongo_batch import Batch
from infra.views.mongo_meetings import Meetings
from infra.views.mongo_table import PARTS
from infra.views.mongo_view import AnyTable, MongoView
from projections.store import Changes, Stale, StoreError, StoreUnavailable, Superseded
from projections.tables import Key, Row, Table, Tally

T = TypeVar("T")

_KEYS: Final = 20_000
"""Keys asked for at once: a question stays far below MongoDB's limit of a message."""
_BATCH: Final = 20_000
"""Documents of an answer, as far as they fit into 16 MB."""
_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5
"""Before a transaction that met another one is tried again; grows, and differs by chance."""
_CLEAR_SECONDS: Final = 600.0


class MongoStore:
    """The tables of one projection at one version, in a database."""

    def __init__(
        self, database: Database, view: str, tables: Sequence[AnyTable], read_only: bool
    ) -> None:
        self._database = database
        self._view = MongoView(database, view, tables)
        self._tables = self._view.tables
        self._positions = self._view.positions
        self._meetings = Meetings(self._view.meetings)
        self._read_only = read_only
        self._absent: dict[AnyTable, set[Key]] = {}
        """Keys that were looked for and are not there: their rows are added without a look."""
        self._closed = False

    @classmethod
    async def open(
        cls,
        database: Database,
        view: str,
        tables: Sequence[AnyTable],
        read_only: bool = False,
    ) -> Self:
        """The view of that name, made where it isn't there (a read-only one must be there).

        Raises `StoreUnavailable` where that can't be done, `StoreError` where the view has other
        tables than these.
        """
        store = cls(database, view, tables, read_only)
        await store._within(WRITE_SECONDS, store._view.prepare(read_only))
        return store

    async def position(self, partition: int = 0) -> int:
        """The position up to which a partition was projected; 0 before the first."""
        found = await self._read(self._positions.find_one({"_id": partition}))
        return int(found["position"]) if found else 0

    async def get(self, table: Table[Row] | Tally[Row], key: Key) -> Row | None:
        """The row with a key."""
        return (await self.get_many(table, (key,))).get(key)

    async def get_many(
        self, table: Table[Row] | Tally[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of those keys that there are, in one round trip for each 20,000 keys."""
        mine, found = self._tables[table], {}
        wanted = [mine.key(key) for key in keys]
        for start in range(0, len(wanted), _KEYS):
            part = wanted[start : start + _KEYS]
            match = part[0] if len(part) == 1 else {"$in": part}
            cursor = mine.collection.find({mine.key_path: match}, batch_size=_BATCH)
            for row in mine.rows(await self._read(cursor.to_list(None))):
                found[row[: mine.width]] = row
        if not (mine.tally or self._read_only):
            self._absent.setdefault(table, set()).update(key for key in keys if key not in found)
        return found

    async def scan(
        self,
        table: Table[Row] | Tally[Row],
        prefix: Key = (),
        *,
        index: tuple[str, ...] | None = None,
        above: Any = None,
        below: Any = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Row]:
        """Rows in the order of the key or of an index; see the port."""
        mine = self._tables[table]
        if limit == 0:
            return []
        wanted = mine.span(prefix, index, above, below)
        cursor = mine.collection.find(
            wanted,
            sort=mine.order(index, descending),
            hint=mine.hint(index),
            # Of a tally, so many parts may be fewer rows: they are counted when they are summed.
            limit=0 if limit is None or mine.tally else limit,
            batch_size=_BATCH if limit is None else limit + 1,
        )
        rows: list[Row] = mine.rows(await self._read(cursor.to_list(None)))
        return rows if limit is None else rows[:limit]

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        """Make the changes and move the position, in one transaction; see the port.

        Where it meets the transaction of another partition, it waits a little and tries again.
        """
        absent, self._absent = self._absent, {}
        batch = Batch(self._tables, changes, partition % PARTS, absent)
        return await self._within(WRITE_SECONDS, self._retried(batch, after, position, partition))

    async def _retried(self, batch: Batch, after: int, position: int, partition: int) -> bool:
        pause = _PAUSE_SECONDS
        while True:
            try:
                return await self._transaction(batch, after, position, partition)
            except PyMongoError as error:
                if is_duplicate(error):
                    batch.absent = {}  # somebody else put such a row since it was looked for
                elif not is_transient(error):
                    raise
            await asyncio.sleep(pause * random.random())
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _transaction(self, batch: Batch, after: int, position: int, partition: int) -> bool:
        """Raises `PyMongoError`, also where it is not known whether the commit was done."""
        async with (
            await self._database.client.start_session() as session,
            session.start_transaction(),
        ):
            found = await self._positions.find_one({"_id": partition}, session=session)
            stored = int(found["position"]) if found else 0
            if stored >= position:
                return False
            if stored != after:
                raise Superseded(
                    f"partition {partition} is at {stored}, not at {after}: another one writes it"
                )
            moved = {"$set": {"position": position}}
            await self._positions.update_one(
                {"_id": partition}, moved, upsert=True, session=session
            )
            await self._meetings.touch(batch.changes, partition, session)
            if await batch.is_stale(session):
                raise Stale(f"partition {partition} met changes of another one")
            await batch.write(session)
        return True

    async def clear(self) -> None:
        """Back to empty tables, every partition at position 0.

        Not one transaction, which could be too large: a view that was left half empty is emptied
        when it is opened to be written.
        """
        await self._within(_CLEAR_SECONDS, self._view.empty())

    async def close(self) -> None:
        """Take no more calls. The connection is that of who opened it."""
        self._closed = True

    async def _read(self, work: Awaitable[T]) -> T:
        return await self._within(READ_SECONDS, work)

    async def _within(self, seconds: float, work: Awaitable[T]) -> T:
        """The work's result; its errors, and taking longer than that, as the port names them."""
        if self._closed:
            if asyncio.iscoroutine(work):
                work.close()
            raise StoreUnavailable("this store was closed")
        try:
            async with asyncio.timeout(seconds):
                return await work
        except (PyMongoError, TimeoutError) as error:
            if unreachable(error):
                raise StoreUnavailable(f"MongoDB: {str(error) or 'no answer in time'}") from error
            raise StoreError(f"MongoDB refused: {error}") from error
        except (OverflowError, ValueError) as error:
            raise StoreError(f"a row does not fit its table: {error}") from error
