"""Read models in MongoDB, through Motor: a collection for each table of a projection's version.

The tables of the view `posts_1` are the collections `posts_1.posts`, `posts_1.likes` and so on,
with documents as `infra.views.mongo_table` says; its positions are in `posts_1.position`, one
document for each partition of the feed. What tables a view has stands in the collection `views`.

A batch and its position are one transaction, so this needs a replica set or a sharded cluster.
"""

import asyncio
import random
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from pymongo import ReturnDocument
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
from infra.views.mongo_table import PARTS, MongoTable
from projections.store import Changes, StoreError, StoreUnavailable, Superseded
from projections.tables import Key, Row, Table, Tally

AnyTable = Table[Any] | Tally[Any]
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
        self._view = view
        self._tables = {t: MongoTable(t, database[f"{view}.{t.name}"]) for t in tables}
        self._positions = database[f"{view}.position"]
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
        await store._within(WRITE_SECONDS, store._prepare())
        return store

    async def _prepare(self) -> None:
        views = self._database["views"]
        mine = {table.name: self._tables[table].described() for table in self._tables}
        there = await views.find_one({"_id": self._view})
        if there is None:
            if self._read_only:
                raise StoreUnavailable(f"the view {self._view!r} is still being made")
            await self._create()
            there = await views.find_one_and_update(
                {"_id": self._view},
                {"$setOnInsert": {"tables": mine}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        said = there["tables"]
        if said != mine:
            wrong = sorted(name for name in mine.keys() | said if mine.get(name) != said.get(name))
            raise StoreError(
                f"a view in MongoDB differs from the program in {', '.join(wrong)}: raise the "
                f"version of its projection, or drop the view {self._view} to have it made anew"
            )
        if there.get("clearing") and not self._read_only:
            await self._empty()

    async def _create(self) -> None:
        for table in self._tables.values():
            for index in table.indexes():
                await table.collection.create_index(index)
        names = {c.name for c in (self._positions, *(t.collection for t in self._tables.values()))}
        for name in names - {*await self._database.list_collection_names()}:
            await self._database.create_collection(name, check_exists=False)

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
                if is_duplicate(error) and batch.absent:
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
            await batch.write(session)
        return True

    async def clear(self) -> None:
        """Back to empty tables, every partition at position 0.

        Not one transaction, which could be too large: a view that was left half empty is emptied
        when it is opened to be written.
        """
        await self._within(_CLEAR_SECONDS, self._empty())

    async def _empty(self) -> None:
        mine, views = {"_id": self._view}, self._database["views"]
        await views.update_one(mine, {"$set": {"clearing": True}})
        for collection in (*(t.collection for t in self._tables.values()), self._positions):
            await collection.delete_many({})
        await views.update_one(mine, {"$unset": {"clearing": True}})

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
