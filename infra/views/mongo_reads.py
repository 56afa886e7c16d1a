"""Reading the tables of a view in MongoDB."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo.errors import PyMongoError

from infra.mongo import READ_SECONDS, Database, unreachable
from infra.views.mongo_table import MongoTable
from infra.views.mongo_view import AnyTable, MongoView
from projections.store import Scans, Span, StoreError, StoreUnavailable
from projections.tables import Key, Row, Table, Tally

T = TypeVar("T")

_KEYS: Final = 20_000
"""Keys asked for at once: a question stays far below MongoDB's limit of a message."""
_SCANS: Final = 200
"""Scans that MongoDB merges by an index (`internalQueryMaxScansToExplode`); it sorts more."""
_OF: Final = "of"
"""In an answer to several questions: to which of them a document belongs."""
_BATCH: Final = 20_000
"""Documents of an answer, as far as they fit into 16 MB."""


class _Part(NamedTuple):
    """A pipeline over one table, for the question of that number."""

    number: int
    table: MongoTable
    stages: list[dict[str, Any]]


class MongoReads:
    """The half of a store that reads."""

    def __init__(self, database: Database, view: str, tables: Sequence[AnyTable]) -> None:
        self._database = database
        self._view = MongoView(database, view, tables)
        self._tables = self._view.tables
        self._positions = self._view.positions
        self._closed = False
        self._session: AsyncIOMotorClientSession | None = None
        self._patience = READ_SECONDS
        """Seconds that an answer may take; somebody waits for it, where this answers questions."""
        self.name = view

    def within(self, session: AsyncIOMotorClientSession) -> None:
        """Read in a session from now on: with one that holds a snapshot, the view as it was."""
        self._session = session

    def patience(self, seconds: float) -> None:
        """How long an answer may take from now on."""
        self._patience = seconds

    async def position(self, partition: int = 0) -> int:
        """The position up to which a partition was projected; 0 before the first."""
        found = await self._read(
            self._positions.find_one({"_id": partition}, session=self._session)
        )
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
            cursor = mine.collection.find(
                {mine.key_path: match}, batch_size=_BATCH, session=self._session
            )
            for row in mine.rows(await self._read(cursor.to_list(None))):
                found[row[: mine.width]] = row
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
            session=self._session,
        )
        if limit is None or not mine.tally:
            rows: list[Row] = mine.rows(await self._read(cursor.to_list(None)))
            return rows
        return await self._read(_summed(mine, cursor, limit))

    async def merge_scans(
        self,
        many: Sequence[Scans],
        *,
        above: Any = None,
        below: Any = None,
        limit: int,
        descending: bool = False,
    ) -> list[list[Any]]:
        """See `projections.store.Merges`: one aggregation, which the server merges by indexes."""
        parts: list[_Part] = []
        for number, (table, firsts, index) in enumerate(many):
            mine, wanted = self._tables[table], list(firsts)
            sort = dict(mine.order(index, descending)[1:])
            for start in range(0, len(wanted), _SCANS):
                match = mine.span_any(wanted[start : start + _SCANS], index, above, below)
                stages: list[dict[str, Any]] = [
                    {"$match": match}, {"$sort": sort}, {"$limit": limit}, mine.columnar(),
                ]  # fmt: skip
                parts.append(_Part(number, mine, stages))
        found = await self._united(parts)
        rows = [self._tables[one.table].rows_of_columns(found[n]) for n, one in enumerate(many)]
        for (table, _, index), part in zip(many, rows, strict=True):
            second = table.columns.index(index[1])
            part.sort(key=itemgetter(second), reverse=descending)
        return [part[:limit] for part in rows]

    async def scan_many(self, spans: Sequence[Span]) -> list[list[Any]]:
        """See `projections.store.Merges`: one aggregation, of a part for each way to look."""
        ways: dict[tuple[Any, ...], dict[Span, None]] = {}
        for span in spans:
            ways.setdefault((span.table, span.by, len(span.prefix)), {})[span] = None
        parts: list[_Part] = []
        for number, ((table, *_), alike) in enumerate(ways.items()):
            mine = self._tables[table]
            wanted = [mine.span(one.prefix, one.by, one.above, one.below) for one in alike]
            parts.append(_Part(number, mine, [{"$match": {"$or": wanted}}]))
        found = await self._united(parts)
        under = defaultdict[tuple[Any, ...], list[Any]](list)
        for number, (table, by, length) in enumerate(ways):
            places = [table.columns.index(column) for column in (by or table.columns)[:length]]
            for row in self._tables[table].rows(found[number]):
                under[table, by, tuple(row[place] for place in places)].append(row)
        return [span.between(under[span.table, span.by, span.prefix]) for span in spans]

    async def _united(self, parts: Sequence[_Part]) -> Mapping[int, list[dict[str, Any]]]:
        """What several pipelines find, under their numbers, by one question."""
        found = defaultdict[int, list[dict[str, Any]]](list)
        if not parts:
            return found
        first, *others = [[*part.stages, {"$set": {_OF: part.number}}] for part in parts]
        for part, stages in zip(parts[1:], others, strict=True):
            first.append({"$unionWith": {"coll": part.table.collection.name, "pipeline": stages}})
        answer = parts[0].table.collection.aggregate(first, batchSize=_BATCH, session=self._session)
        for document in await self._read(answer.to_list(None)):
            found[document.pop(_OF)].append(document)
        return found

    async def close(self) -> None:
        """Take no more calls. The connection is that of who opened it."""
        self._closed = True

    async def _read(self, work: Awaitable[T]) -> T:
        return await self._within(self._patience, work)

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


async def _summed(table: MongoTable, cursor: Any, limit: int) -> list[Any]:
    """The first rows of a tally: parts of one row come one after the other, so they are whole once
    there is one row more, and the rest is not asked for."""
    parts: list[dict[str, Any]] = []
    while more := await cursor.to_list(limit + 1):
        parts += more
        rows = table.rows(parts)
        if len(rows) > limit:
            await cursor.close()
            return rows[:limit]
    return table.rows(parts)
