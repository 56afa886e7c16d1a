"""The writes that the changes of one batch are, in a transaction, for a thread that waits."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from pymongo.client_session import ClientSession

from infra.mongodb.table_documents import MongoTable
from projections.store import Changes
from projections.tables import CounterTable, Key, Table

_WRITES_PER_REQUEST: Final = 5_000
"""Writes of one request: whoever waits for a lock of the server waits for no more."""


class BatchWrite:
    """Changes of tables, to be written into one part of each tally's rows."""

    def __init__(
        self,
        tables: Mapping[Table[Any] | CounterTable[Any], MongoTable],
        changes: Changes,
        part: int,
        absent: Mapping[Any, Collection[Key]],
    ) -> None:
        """`absent`: keys without a row. Adding costs half of replacing what may be there."""
        self._tables = tables
        self.changes = changes
        self._part = part
        self.absent_keys = absent

    def is_stale(self, session: ClientSession) -> bool:
        """Whether a row that the changes follow from is another one in the transaction."""
        for table, rows in self.changes.rows_read.items():
            mine = self._tables[table]
            ids = [mine.key_document(key) for key in rows]
            found = mine.blocking.find({"_id": {"$in": ids}}, session=session)
            there = {row[: mine.key_width]: row for row in mine.decode_rows(found)}
            if any(there.get(key) != row for key, row in rows.items()):
                return True
        for span, whole in self.changes.ranges_read.items():
            mine = self._tables[span.table]
            wanted = mine.range_filter(span.prefix, span.order_by, span.above, span.below)
            found = mine.blocking.find(wanted, hint=mine.index_hint(span.order_by), session=session)
            if frozenset(mine.decode_rows(found)) != whole:
                return True
        return False

    def write_changes(self, session: ClientSession) -> None:
        """All of it. Raises `PyMongoError`; `KeyError` for a table of another store."""
        changes = self.changes
        for table, gone in changes.deletes.items():
            mine = self._tables[table]
            for keys in _split_requests(sorted(gone)):
                ids = [mine.key_document(key) for key in keys]
                mine.blocking.delete_many({"_id": {"$in": ids}}, session=session)
        for table, rows in changes.puts.items():
            mine, absent = self._tables[table], self.absent_keys.get(table, ())
            puts = [
                mine.insert(rows[key]) if key in absent else mine.put(rows[key])
                for key in sorted(rows)
            ]
            self._write_bulk(mine, puts, session)
        for tally, counts in changes.increments.items():
            mine = self._tables[tally]
            adds = [
                mine.add(key, counts[key], self._part) for key in sorted(counts) if any(counts[key])
            ]
            self._write_bulk(mine, adds, session)
            # Only where something was taken away can nothing be left.
            less = sorted(key for key, added in counts.items() if min(added) < 0)
            for keys in _split_requests(less):
                mine.blocking.delete_many(mine.zero_parts(keys, self._part), session=session)

    def _write_bulk(self, mine: MongoTable, writes: Sequence[Any], session: ClientSession) -> None:
        for some in _split_requests(writes):
            mine.blocking.bulk_write(some, ordered=False, session=session)


def _split_requests(whole: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(whole), _WRITES_PER_REQUEST):
        yield whole[start : start + _WRITES_PER_REQUEST]
