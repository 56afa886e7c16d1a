"""Reading the tables of a view in MongoDB."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo.errors import PyMongoError

from infra.mongodb.connection import READ_SECONDS, Database, is_unreachable
from infra.mongodb.table_documents import MongoTable
from infra.mongodb.view_collections import AnyTable, ViewCollections
from projections.store import IndexScans, KeyRange, StoreError, StoreUnavailable
from projections.tables import CounterTable, Key, Row, Table

T = TypeVar("T")

_KEYS_PER_QUERY: Final = 20_000
"""Keys asked for at once: a question stays far below MongoDB's limit of a message."""
_SCANS_PER_MERGE: Final = 200
"""Scans that MongoDB merges by an index (`internalQueryMaxScansToExplode`); it sorts more."""
_QUESTION_FIELD: Final = "of"
"""In an answer to several questions: to which of them a document belongs."""
_DOCUMENTS_PER_BATCH: Final = 20_000
"""Documents of an answer, as far as they fit into 16 MB."""


class _PipelinePart(NamedTuple):
    """A pipeline over one table, for the question of that number."""

    number: int
    table: MongoTable
    stages: list[dict[str, Any]]


class MongoTableReader:
    """The half of a store that reads."""

    def __init__(self, database: Database, view: str, tables: Sequence[AnyTable]) -> None:
        self._database = database
        self._view = ViewCollections(database, view, tables)
        self._tables = self._view.tables
        self._positions = self._view.positions
        self._closed = False
        self._session: AsyncIOMotorClientSession | None = None
        self._answer_seconds = READ_SECONDS
        """Seconds that an answer may take; somebody waits for it, where this answers questions."""
        self.name = view

    def use_session(self, session: AsyncIOMotorClientSession) -> None:
        """Read in a session from now on: with one that holds a snapshot, the view as it was."""
        self._session = session

    def set_answer_seconds(self, seconds: float) -> None:
        """How long an answer may take from now on."""
        self._answer_seconds = seconds

    async def read_checkpoint(self, partition: int = 0) -> int:
        """The position up to which a partition was projected; 0 before the first."""
        found = await self._read_in_time(
            self._positions.find_one({"_id": partition}, session=self._session)
        )
        return int(found["position"]) if found else 0

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        """The row with a key."""
        return (await self.get_many(table, (key,))).get(key)

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of those keys that there are, in one round trip for each 20,000 keys."""
        mine, found = self._tables[table], {}
        wanted = [mine.key_document(key) for key in keys]
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            part = wanted[start : start + _KEYS_PER_QUERY]
            match = part[0] if len(part) == 1 else {"$in": part}
            cursor = mine.collection.find(
                {mine.key_path: match}, batch_size=_DOCUMENTS_PER_BATCH, session=self._session
            )
            for row in mine.decode_rows(await self._read_in_time(cursor.to_list(None))):
                found[row[: mine.key_width]] = row
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
        mine = self._tables[table]
        if limit == 0:
            return []
        wanted = mine.range_filter(prefix, index, above, below)
        cursor = mine.collection.find(
            wanted,
            sort=mine.sort_order(index, descending),
            hint=mine.index_hint(index),
            # Of a tally, so many parts may be fewer rows: they are counted when they are summed.
            limit=0 if limit is None or mine.is_counter else limit,
            batch_size=_DOCUMENTS_PER_BATCH if limit is None else limit + 1,
            session=self._session,
        )
        if limit is None or not mine.is_counter:
            rows: list[Row] = mine.decode_rows(await self._read_in_time(cursor.to_list(None)))
            return rows
        return await self._read_in_time(_sum_counter_parts(mine, cursor, limit))

    async def merge_scans(
        self,
        many: Sequence[IndexScans],
        *,
        above: Any = None,
        below: Any = None,
        limit: int,
        descending: bool = False,
    ) -> list[list[Any]]:
        """See `projections.store.Merges`: one aggregation, which the server merges by indexes."""
        parts: list[_PipelinePart] = []
        for number, (table, firsts, index) in enumerate(many):
            mine, wanted = self._tables[table], list(firsts)
            sort = dict(mine.sort_order(index, descending)[1:])
            for start in range(0, len(wanted), _SCANS_PER_MERGE):
                match = mine.any_range_filter(
                    wanted[start : start + _SCANS_PER_MERGE], index, above, below
                )
                stages: list[dict[str, Any]] = [
                    {"$match": match}, {"$sort": sort}, {"$limit": limit}, mine.columnar_stage(),
                ]  # fmt: skip
                parts.append(_PipelinePart(number, mine, stages))
        found = await self._aggregate_union(parts)
        rows = [self._tables[one.table].decode_columnar(found[n]) for n, one in enumerate(many)]
        for (table, _, index), part in zip(many, rows, strict=True):
            second = table.columns.index(index[1])
            part.sort(key=itemgetter(second), reverse=descending)
        return [part[:limit] for part in rows]

    async def scan_many(self, spans: Sequence[KeyRange]) -> list[list[Any]]:
        """See `projections.store.Merges`: one aggregation, of a part for each way to look."""
        ways: dict[tuple[Any, ...], dict[KeyRange, None]] = {}
        for span in spans:
            ways.setdefault((span.table, span.order_by, len(span.prefix)), {})[span] = None
        parts: list[_PipelinePart] = []
        for number, ((table, *_), alike) in enumerate(ways.items()):
            mine = self._tables[table]
            wanted = [
                mine.range_filter(one.prefix, one.order_by, one.above, one.below) for one in alike
            ]
            parts.append(_PipelinePart(number, mine, [{"$match": {"$or": wanted}}]))
        found = await self._aggregate_union(parts)
        under = defaultdict[tuple[Any, ...], list[Any]](list)
        for number, (table, by, length) in enumerate(ways):
            places = [table.columns.index(column) for column in (by or table.columns)[:length]]
            for row in self._tables[table].decode_rows(found[number]):
                under[table, by, tuple(row[place] for place in places)].append(row)
        return [span.filter_rows(under[span.table, span.order_by, span.prefix]) for span in spans]

    async def _aggregate_union(
        self, parts: Sequence[_PipelinePart]
    ) -> Mapping[int, list[dict[str, Any]]]:
        """What several pipelines find, under their numbers, by one question."""
        found = defaultdict[int, list[dict[str, Any]]](list)
        if not parts:
            return found
        first, *others = [
            [*part.stages, {"$set": {_QUESTION_FIELD: part.number}}] for part in parts
        ]
        for part, stages in zip(parts[1:], others, strict=True):
            first.append({"$unionWith": {"coll": part.table.collection.name, "pipeline": stages}})
        answer = parts[0].table.collection.aggregate(
            first, batchSize=_DOCUMENTS_PER_BATCH, session=self._session
        )
        for document in await self._read_in_time(answer.to_list(None)):
            found[document.pop(_QUESTION_FIELD)].append(document)
        return found

    async def close(self) -> None:
        """Take no more calls. The connection is that of who opened it."""
        self._closed = True

    async def _read_in_time(self, work: Awaitable[T]) -> T:
        return await self._run_in_time(self._answer_seconds, work)

    async def _run_in_time(self, seconds: float, work: Awaitable[T]) -> T:
        """The work's result; its errors, and taking longer than that, as the port names them."""
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
    """The first rows of a tally: parts of one row come one after the other, so they are whole once
    there is one row more, and the rest is not asked for."""
    parts: list[dict[str, Any]] = []
    while more := await cursor.to_list(limit + 1):
        parts += more
        rows = table.decode_rows(parts)
        if len(rows) > limit:
            await cursor.close()
            return rows[:limit]
    return table.decode_rows(parts)
