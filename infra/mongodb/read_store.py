"""Read models in MongoDB, through Motor: a collection for each table of a projection's version.

The tables of the view `posts_1` are the collections `posts_1.posts`, `posts_1.likes` and so on,
with documents as `infra.mongodb.table_documents` says; its positions are in `posts_1.position`, one
document for each partition of the feed.

A batch and its position are one transaction, so this needs a replica set or a sharded cluster. Each
store has one thread for its transactions (ADR 0032).
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import Any, Final, Self

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from infra.mongodb.batch_write import BatchWrite
from infra.mongodb.conflicts import ConflictDocuments
from infra.mongodb.connection import WRITE_SECONDS, Database, is_duplicate, is_transient
from infra.mongodb.table_documents import COUNTER_PARTS
from infra.mongodb.table_reader import MongoTableReader
from infra.mongodb.view_collections import AnyTable
from projections.store import Changes, StaleRead, StoreUnavailable, WriterSuperseded
from projections.tables import CounterTable, Key, Row, Table

InvalidationsOf = Callable[[Changes], Iterable[tuple[int, int]]]

MAX_INVALIDATIONS: Final = 5_000
"""Keys told with one position at most."""
INVALIDATE_ALL: Final = 0
"""Stands for a `InvalidationKind` where there were more."""
_MAX_ABSENT_KEYS: Final = 50_000
_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5
"""Before a transaction that met another one is tried again; grows, and differs by chance."""


class MongoReadStore(MongoTableReader):
    """The tables of one projection at one version, in a database."""

    def __init__(
        self,
        database: Database,
        view: str,
        tables: Sequence[AnyTable],
        read_only: bool,
        touches: InvalidationsOf,
        turn: int | None = None,
    ) -> None:
        super().__init__(database, view, tables)
        self._conflicts = ConflictDocuments(self._view.conflicts)
        self._invalidations_of = touches
        self._epoch = turn
        self._writer_thread = ThreadPoolExecutor(1, "mongo-writer")
        self._read_only = read_only
        if not read_only:
            self._answer_seconds = WRITE_SECONDS  # a projector that gives up begins its batch again
        self._absent_keys: dict[AnyTable, set[Key]] = {}
        """Keys that were looked for and are not there: their rows are added without a look."""

    @classmethod
    async def open(
        cls,
        database: Database,
        view: str,
        tables: Sequence[AnyTable],
        read_only: bool = False,
        touches: InvalidationsOf = lambda changes: (),
        turn: int | None = None,
    ) -> Self:
        """The view of that name, made where it isn't there (a read-only one must be there).

        `touches` says what readers must forget after changes; they are told with the position.
        Once a later `turn` than this one began, nothing is applied any more.

        Raises `StoreUnavailable` where that can't be done, `StoreError` where the view has other
        tables than these.
        """
        store = cls(database, view, tables, read_only, touches, turn)
        await store._run_in_time(WRITE_SECONDS, store._view.prepare(read_only))
        return store

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of those keys that there are, in one round trip for each 20,000 keys."""
        found = await super().get_many(table, keys)
        if isinstance(table, Table) and not self._read_only:
            absent = self._absent_keys.setdefault(table, set())
            if len(absent) > _MAX_ABSENT_KEYS:
                absent.clear()
            absent.difference_update(found)
            absent.update(key for key in keys if key not in found)
        return found

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        """Make the changes and move the position, in one transaction; see the port.

        Where it meets the transaction of another partition, it waits a little and tries again.
        """
        absent = {}
        for table, rows in changes.puts.items():
            absent[table] = rows.keys() & self._absent_keys.get(table, ())
            self._absent_keys.get(table, set()).difference_update(absent[table])
        batch = BatchWrite(self._tables, changes, partition % COUNTER_PARTS, absent)
        return await self._run_in_time(
            WRITE_SECONDS, self._retry_transaction(batch, after, position, partition)
        )

    async def _retry_transaction(
        self, batch: BatchWrite, after: int, position: int, partition: int
    ) -> bool:
        pause = _PAUSE_SECONDS
        run = self._run_transaction if batch.changes else self._move_position
        while not self._closed:
            try:
                work = partial(run, batch, after, position, partition)
                return await asyncio.get_running_loop().run_in_executor(self._writer_thread, work)
            except PyMongoError as error:
                if is_duplicate(error):
                    batch.absent_keys = {}  # somebody else put such a row since it was looked for
                elif not is_transient(error):
                    raise
            await asyncio.sleep(pause * random.random())
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        raise StoreUnavailable("this store was closed")

    def _run_transaction(
        self, batch: BatchWrite, after: int, position: int, partition: int
    ) -> bool:
        """Raises `PyMongoError`, also where it is not known whether the commit was done."""
        client = self._database.client.delegate
        with client.start_session() as session, session.start_transaction():
            if not self._move_position(batch, after, position, partition, session):
                return False
            self._conflicts.write(batch.changes, partition, session)
            if batch.is_stale(session):
                raise StaleRead(f"partition {partition} met changes of another one")
            batch.write_changes(session)
        return True

    def _move_position(
        self,
        batch: BatchWrite,
        after: int,
        position: int,
        partition: int,
        session: ClientSession | None = None,
    ) -> bool:
        """Move a position, and tell what readers must forget: one small write, where it is all."""
        positions = self._positions.delegate
        moved = {
            "position": position,
            "touched": [position, *self._encode_invalidations(batch.changes)],
        }
        here: dict[str, Any] = {"_id": partition, "position": after}
        if self._epoch is not None:
            here["turn"] = {"$not": {"$gt": self._epoch}}
        while not positions.update_one(here, {"$set": moved}, session=session).matched_count:
            found = positions.find_one({"_id": partition}, session=session)
            if not self._joins_stored_position(found, after, position):
                return False
            if found is None:
                positions.insert_one({"_id": partition, **moved}, session=session)
                return True
        return True

    async def close(self) -> None:
        """As that of `MongoTableReader`. A transaction under way comes to its end."""
        await super().close()
        self._writer_thread.shutdown(wait=False, cancel_futures=True)

    def _encode_invalidations(self, changes: Changes) -> Iterable[int]:
        """Kinds and ids in turn; where that is more than is worth telling, to forget all."""
        pairs = list(islice(self._invalidations_of(changes), MAX_INVALIDATIONS + 1))
        return (INVALIDATE_ALL, 0) if len(pairs) > MAX_INVALIDATIONS else chain.from_iterable(pairs)

    def _joins_stored_position(
        self, found: Mapping[str, Any] | None, after: int, position: int
    ) -> bool:
        """Whether a batch begins where a partition is. Raises `WriterSuperseded` where it can't,
        and `WriterFenced`."""
        stored = int(found["position"]) if found else 0
        if stored >= position:
            return False
        if found and self._epoch is not None and found.get("turn", 0) > self._epoch:
            raise WriterFenced("the view was made to stand still: look anew")
        if stored != after:
            raise WriterSuperseded(
                f"the partition is at {stored}, not at {after}: another one writes it"
            )
        return True


class WriterFenced(StoreUnavailable):
    """The turn of this writer is over."""
