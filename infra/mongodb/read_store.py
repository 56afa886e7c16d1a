"""Read models in MongoDB: a collection for each table of a projection's version.

The tables of the view `posts_1` are the collections `posts_1.posts`, `posts_1.likes` and so on,
with documents as `infra.mongodb.table_documents` says; its positions are in `posts_1.position`, one
document for each partition of the feed: {_id: PARTITION, position, touched, turn}, the last two of
which are invalidations and the epoch of the view's writers. Workers, rebuild processes and commands
of operators write views; API processes read them.

A batch and its position are one transaction (`infra.mongodb.batch_transaction`). Each store has one
thread for its transactions (ADR 0032).
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any, Final, NamedTuple, Self, TypeVar

from pymongo.errors import PyMongoError

from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.batch_transaction import BatchMove, BatchTransaction, InvalidationsOf
from infra.mongodb.connection import (
    READ_SECONDS,
    WRITE_SECONDS,
    is_duplicate,
    is_transient,
    is_unreachable,
)
from infra.mongodb.table_documents import MongoTable
from infra.mongodb.view_collections import AnyTable, ViewCollections
from projections.store import Changes, IndexScans, KeyRange, StoreError, StoreUnavailable
from projections.tables import CounterTable, Key, Row, Table

T = TypeVar("T")

_KEYS_PER_QUERY: Final = 20_000
"""Keys of one query, which stays far below MongoDB's limit of a message."""
_SCANS_PER_MERGE: Final = 200
"""Scans that MongoDB merges by an index (`internalQueryMaxScansToExplode`); it sorts more."""
_PIPELINE_FIELD: Final = "of"
"""In an answer to several pipelines: to which of them a document belongs."""
_DOCUMENTS_PER_BATCH: Final = 20_000
"""Documents of an answer, as far as they fit into 16 MB."""
_MAX_ABSENT_KEYS: Final = 50_000
_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5
"""Before a transaction that met another one is tried again; grows, and differs by chance."""


class _PipelinePart(NamedTuple):
    """A pipeline over one table; those of one number go together."""

    number: int
    table: MongoTable
    stages: list[dict[str, Any]]


class MongoReadStore:
    """The tables of one projection at one version, in a database. See `projections.store`."""

    def __init__(
        self,
        database: AsyncDatabase,
        view: str,
        tables: Sequence[AnyTable],
        read_only: bool,
        invalidations_of: InvalidationsOf,
        epoch: int | None = None,
    ) -> None:
        self.name = view
        self._database = database
        self._view = ViewCollections(database, view, tables)
        self._tables = self._view.tables
        self._invalidations_of = invalidations_of
        self._epoch = epoch
        self._closed = False
        self._session: Any = None
        self._read_only = read_only
        # A projector that gives up too soon would begin its batch again.
        self._read_seconds = READ_SECONDS if read_only else WRITE_SECONDS
        self._writer_thread = ThreadPoolExecutor(1, "mongo-writer")
        self._absent_keys: dict[AnyTable, set[Key]] = {}
        """Keys that were read and have no row: their rows are inserted, not replaced."""

    @classmethod
    async def open(
        cls,
        database: AsyncDatabase,
        view: str,
        tables: Sequence[AnyTable],
        read_only: bool = False,
        invalidations_of: InvalidationsOf = lambda changes: (),
        epoch: int | None = None,
    ) -> Self:
        """The view of that name, created if it does not exist (a read-only one must exist).

        `invalidations_of` says what readers must invalidate after changes; that is stored with the
        position. Once a write fence raised the view's epoch above this `epoch`, nothing is applied
        any more.

        Raises `StoreUnavailable` where that can't be done, `StoreError` if the view has other
        tables than these.
        """
        store = cls(database, view, tables, read_only, invalidations_of, epoch)
        await store._run_in_time(WRITE_SECONDS, store._view.prepare(read_only))
        return store

    def use_session(self, session: Any) -> None:
        """Read in a session from now on; one with a snapshot shows the view as it was then."""
        self._session = session

    def set_read_timeout(self, seconds: float) -> None:
        """How long a read may take from now on."""
        self._read_seconds = seconds

    async def read_checkpoint(self, partition: int = 0) -> int:
        """The position up to which a partition was projected; 0 before the first."""
        found = await self._read_in_time(
            self._view.positions.find_one({"_id": partition}, session=self._session)
        )
        return int(found["position"]) if found else 0

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        """The row with a key."""
        return (await self.get_many(table, (key,))).get(key)

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of those keys that there are, in one round trip for each 20,000 keys."""
        stored, found = self._tables[table], dict[Key, Row]()
        documents = [stored.key_document(key) for key in keys]
        for start in range(0, len(documents), _KEYS_PER_QUERY):
            part = documents[start : start + _KEYS_PER_QUERY]
            match = part[0] if len(part) == 1 else {"$in": part}
            cursor = stored.collection.find(
                {stored.key_path: match}, batch_size=_DOCUMENTS_PER_BATCH, session=self._session
            )
            for row in stored.decode_rows(await self._read_in_time(cursor.to_list(None))):
                found[row[: stored.key_width]] = row
        if isinstance(table, Table) and not self._read_only:
            absent = self._absent_keys.setdefault(table, set())
            if len(absent) > _MAX_ABSENT_KEYS:
                absent.clear()
            absent.difference_update(found)
            absent.update(key for key in keys if key not in found)
        return found

    async def scan(
        self,
        table: Table[Row] | CounterTable[Row],
        prefix: Key = (),
        *,
        index: tuple[str, ...] | None = None,
        above: Any = None,
        below: Any = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Row]:
        """Rows in the order of the key or of an index; see the port."""
        stored = self._tables[table]
        if limit == 0:
            return []
        if stored.is_counter and index is not None:
            stages = stored.summed_stages(prefix, index, above, below, descending)
            return await self._aggregate_sums(stored, stages, limit)
        cursor = stored.collection.find(
            stored.range_filter(prefix, index, above, below),
            sort=stored.sort_order(index, descending),
            hint=stored.index_hint(index),
            # Of a counter, so many parts may be fewer rows: they are counted when they are summed.
            limit=0 if limit is None or stored.is_counter else limit,
            batch_size=_DOCUMENTS_PER_BATCH if limit is None else limit + 1,
            session=self._session,
        )
        if limit is None or not stored.is_counter:
            rows: list[Row] = stored.decode_rows(await self._read_in_time(cursor.to_list(None)))
            return rows
        return await self._read_in_time(_sum_counter_parts(stored, cursor, limit))

    async def _aggregate_sums(
        self, stored: MongoTable, stages: list[dict[str, Any]], limit: int | None
    ) -> list[Any]:
        """The rows of a counter that such stages find."""
        if limit is not None:
            stages.append({"$limit": limit})
        answer = self._database.aggregate(
            stored.collection, stages, batchSize=_DOCUMENTS_PER_BATCH, session=self._session
        )
        return stored.decode_sums(await self._read_in_time(answer))

    async def merge_scans(
        self,
        many: Sequence[IndexScans],
        *,
        above: Any = None,
        below: Any = None,
        limit: int,
        descending: bool = False,
    ) -> list[list[Any]]:
        """See `BatchReads`: one aggregation, which the server merges by indexes."""
        parts: list[_PipelinePart] = []
        for number, (table, firsts, index) in enumerate(many):
            stored, values = self._tables[table], list(firsts)
            sort = dict(stored.sort_order(index, descending)[1:])
            for start in range(0, len(values), _SCANS_PER_MERGE):
                match = stored.any_range_filter(
                    values[start : start + _SCANS_PER_MERGE], index, above, below
                )
                stages: list[dict[str, Any]] = [
                    {"$match": match}, {"$sort": sort}, {"$limit": limit}, stored.columnar_stage(),
                ]  # fmt: skip
                parts.append(_PipelinePart(number, stored, stages))
        found = await self._aggregate_union(parts)
        rows = [self._tables[one.table].decode_columnar(found[n]) for n, one in enumerate(many)]
        for (table, _, index), part in zip(many, rows, strict=True):
            second = table.columns.index(index[1])
            part.sort(key=itemgetter(second), reverse=descending)
        return [part[:limit] for part in rows]

    async def scan_many(self, spans: Sequence[KeyRange]) -> list[list[Any]]:
        """See `BatchReads`: one aggregation, of a pipeline for each kind of range."""
        kinds: dict[tuple[Any, ...], dict[KeyRange, None]] = {}
        for span in spans:
            kinds.setdefault((span.table, span.order_by, len(span.prefix)), {})[span] = None
        parts: list[_PipelinePart] = []
        for number, ((table, *_), alike) in enumerate(kinds.items()):
            stored = self._tables[table]
            ranges = [
                stored.range_filter(one.prefix, one.order_by, one.above, one.below) for one in alike
            ]
            parts.append(_PipelinePart(number, stored, [{"$match": {"$or": ranges}}]))
        found = await self._aggregate_union(parts)
        under = defaultdict[tuple[Any, ...], list[Any]](list)
        for number, (table, by, length) in enumerate(kinds):
            prefix = [table.columns.index(column) for column in (by or table.columns)[:length]]
            for row in self._tables[table].decode_rows(found[number]):
                under[table, by, tuple(row[column] for column in prefix)].append(row)
        return [span.filter_rows(under[span.table, span.order_by, span.prefix]) for span in spans]

    async def _aggregate_union(
        self, parts: Sequence[_PipelinePart]
    ) -> Mapping[int, list[dict[str, Any]]]:
        """What several pipelines find, under their numbers, in one round trip."""
        found = defaultdict[int, list[dict[str, Any]]](list)
        if not parts:
            return found
        first, *others = [
            [*part.stages, {"$set": {_PIPELINE_FIELD: part.number}}] for part in parts
        ]
        for part, stages in zip(parts[1:], others, strict=True):
            first.append({"$unionWith": {"coll": part.table.collection.name, "pipeline": stages}})
        answer = self._database.aggregate(
            parts[0].table.collection,
            first,
            batchSize=_DOCUMENTS_PER_BATCH,
            session=self._session,
        )
        for document in await self._read_in_time(answer):
            found[document.pop(_PIPELINE_FIELD)].append(document)
        return found

    async def count_rows(self, table: Table[Any]) -> int:
        """How many rows a table has, as its collection's metadata say."""
        collection = self._tables[table].collection
        return int(await self._read_in_time(collection.estimated_document_count()))

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        """Make the changes and move the position, in one transaction; see the port.

        If it meets the transaction of another partition, it waits a little and tries again.
        """
        absent = {}
        for table, rows in changes.puts.items():
            absent[table] = rows.keys() & self._absent_keys.get(table, ())
            self._absent_keys.get(table, set()).difference_update(absent[table])
        move = BatchMove(partition, after, position)
        batch = BatchTransaction(
            self._view, changes, move, self._epoch, self._invalidations_of, absent
        )
        return await self._run_in_time(WRITE_SECONDS, self._run_until_committed(batch))

    async def _run_until_committed(self, batch: BatchTransaction) -> bool:
        loop, client = asyncio.get_running_loop(), self._database.blocking.client
        pause = _PAUSE_SECONDS
        while not self._closed:
            try:
                return await loop.run_in_executor(self._writer_thread, batch.run, client)
            except PyMongoError as error:
                if is_duplicate(error):
                    batch.absent_keys = {}  # such a row was added since it was looked for
                elif not is_transient(error):
                    raise
            await asyncio.sleep(pause * random.random())
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        raise StoreUnavailable("this store was closed")

    async def close(self) -> None:
        """Refuse further calls; a transaction under way comes to its end. The connection stays
        open: its opener closes it."""
        self._closed = True
        self._writer_thread.shutdown(wait=False, cancel_futures=True)

    async def _read_in_time(self, work: Awaitable[T]) -> T:
        return await self._run_in_time(self._read_seconds, work)

    async def _run_in_time(self, seconds: float, work: Awaitable[T]) -> T:
        """The work's result. Its errors, or taking longer than that, become those of the port."""
        if self._closed:
            if asyncio.iscoroutine(work):
                work.close()
            raise StoreUnavailable("this store was closed")
        try:
            async with asyncio.timeout(seconds):
                return await work
        except (PyMongoError, TimeoutError) as error:
            if is_unreachable(error):
                raise StoreUnavailable(f"MongoDB: {str(error) or 'no answer in time'}") from error
            raise StoreError(f"MongoDB refused: {error}") from error
        except (OverflowError, ValueError) as error:
            raise StoreError(f"a row does not fit its table: {error}") from error


async def _sum_counter_parts(table: MongoTable, cursor: Any, limit: int) -> list[Any]:
    """The first rows of a counter: parts of one row come one after the other, so they are whole
    once there is one row more, and the rest is not fetched."""
    parts: list[dict[str, Any]] = []
    while more := await cursor.to_list(limit + 1):
        parts += more
        rows = table.decode_rows(parts)
        if len(rows) > limit:
            await cursor.close()
            return rows[:limit]
    return table.decode_rows(parts)
