"""One batch of changes and its position in one MongoDB transaction, in a thread that waits for it.

A transaction needs a replica set or a sharded cluster. Where it meets that of another partition,
MongoDB refuses one of them, and the store tries that one again (`infra.mongodb.read_store`).

**Conflict documents.** MongoDB refuses one of two transactions at the same time that write the same
document, but not where each reads what the other writes: a follow that finds no block, and the
block that finds no follow. So a batch that read a row of a *conflict-checked* table writes a
document that stands for the row, and a batch that writes the row writes that document, too.

Each row has one such document for each slot of partitions: readers in different partitions, of
which there are many more than writers, don't conflict with each other. Rows share documents by a
hash, so that these are at most 65,536; a shared one costs no more than a retry now and then. The
idea is that of 'big reader' locks (Linux, 1999), and of materialising a conflict under snapshot
isolation (Fekete et al., 'Making snapshot isolation serializable', 2005).

A view's conflict documents are in the collection `<view>.meetings`, with the count `met`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple
from zlib import crc32

from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from infra.mongodb.table_documents import COUNTER_PARTS, MongoTable
from infra.mongodb.view_collections import ViewCollections
from projections.store import Changes, StaleRead, StoreUnavailable, WriterSuperseded
from projections.tables import CounterTable, Key, Table

InvalidationsOf = Callable[[Changes], Iterable[tuple[int, int]]]

PARTITION_SLOTS: Final = 16
_ROW_BUCKETS: Final = 4096
MAX_INVALIDATIONS: Final = 5_000
"""Invalidations written with one position at most."""
INVALIDATE_ALL: Final = 0
"""In the place of an `InvalidationKind` where there were more."""
_WRITES_PER_REQUEST: Final = 5_000
"""Writes of one request: a writer that waits for a lock of the server waits for no more."""


class WriterFenced(StoreUnavailable):
    """A write fence raised the epoch: this writer's is over."""


class BatchMove(NamedTuple):
    """Where a batch moves a partition: from one position of the log to another."""

    partition: int
    after: int
    position: int


class BatchTransaction:
    """A batch for one partition. Methods block, and raise `PyMongoError`."""

    def __init__(
        self,
        view: ViewCollections,
        changes: Changes,
        move: BatchMove,
        epoch: int | None,
        invalidations_of: InvalidationsOf,
        absent: Mapping[Any, Collection[Key]],
    ) -> None:
        """`absent`: keys known to have no row. An insert costs half of a replacement."""
        self._tables = view.tables
        self._positions = view.blocking_positions
        self._conflicts = view.blocking_conflicts
        self._changes, self._move, self._epoch = changes, move, epoch
        self._invalidations_of = invalidations_of
        self._part = move.partition % COUNTER_PARTS
        self.absent_keys = absent

    def run(self, client: Any) -> bool:
        """Commit the changes and the position; False if the partition had come so far already.

        Raises `StaleRead`, `WriterFenced`, `WriterSuperseded`, and `PyMongoError`, also where it is
        not known whether the commit was done.
        """
        if not self._changes:  # then moving the position is one small write, without a transaction
            return self._move_position(None)
        with client.start_session() as session, session.start_transaction():
            if not self._move_position(session):
                return False
            self._write_conflict_documents(session)
            if self._is_stale(session):
                raise StaleRead(f"partition {self._move.partition} met changes of another one")
            self._write_changes(session)
        return True

    def _move_position(self, session: ClientSession | None) -> bool:
        """Move the position, and write beside it what readers must invalidate."""
        partition, after, position = self._move
        moved = {"position": position, "touched": [position, *self._encode_invalidations()]}
        stored: dict[str, Any] = {"_id": partition, "position": after}
        if self._epoch is not None:
            stored["turn"] = {"$not": {"$gt": self._epoch}}
        positions = self._positions
        while not positions.update_one(stored, {"$set": moved}, session=session).matched_count:
            found = positions.find_one({"_id": partition}, session=session)
            if not self._joins_stored_position(found):
                return False
            if found is None:
                positions.insert_one({"_id": partition, **moved}, session=session)
                return True
        return True

    def _joins_stored_position(self, found: Mapping[str, Any] | None) -> bool:
        """Whether the batch begins where the partition is; False if it is further already."""
        stored = int(found["position"]) if found else 0
        if stored >= self._move.position:
            return False
        if found and self._epoch is not None and found.get("turn", 0) > self._epoch:
            raise WriterFenced("a write fence stopped this writer: read the current views again")
        if stored != self._move.after:
            raise WriterSuperseded(
                f"the partition is at {stored}, not at {self._move.after}: another one writes it"
            )
        return True

    def _encode_invalidations(self) -> Iterable[int]:
        """Kinds and ids in turn; where there are too many to list, to invalidate everything."""
        pairs = list(islice(self._invalidations_of(self._changes), MAX_INVALIDATIONS + 1))
        return (INVALIDATE_ALL, 0) if len(pairs) > MAX_INVALIDATIONS else chain.from_iterable(pairs)

    def _write_conflict_documents(self, session: ClientSession) -> None:
        ids = set(_conflict_ids(self._changes, self._move.partition))
        if ids:
            writes = [
                UpdateOne({"_id": id}, {"$inc": {"met": 1}}, upsert=True) for id in sorted(ids)
            ]
            self._conflicts.bulk_write(writes, ordered=True, session=session)

    def _is_stale(self, session: ClientSession) -> bool:
        """Whether a row that the changes follow from is another one in the transaction."""
        for table, rows in self._changes.rows_read.items():
            stored = self._tables[table]
            ids = [stored.key_document(key) for key in rows]
            found = stored.blocking.find({"_id": {"$in": ids}}, session=session)
            now = {row[: stored.key_width]: row for row in stored.decode_rows(found)}
            if any(now.get(key) != row for key, row in rows.items()):
                return True
        for span, rows_then in self._changes.ranges_read.items():
            stored = self._tables[span.table]
            within = stored.range_filter(span.prefix, span.order_by, span.above, span.below)
            hint = stored.index_hint(span.order_by)
            found = stored.blocking.find(within, hint=hint, session=session)
            if frozenset(stored.decode_rows(found)) != rows_then:
                return True
        return False

    def _write_changes(self, session: ClientSession) -> None:
        """All of them. Raises `KeyError` for a table of another store."""
        for table, deleted in self._changes.deletes.items():
            stored = self._tables[table]
            for keys in _split_requests(sorted(deleted)):
                ids = [stored.key_document(key) for key in keys]
                stored.blocking.delete_many({"_id": {"$in": ids}}, session=session)
        for table, rows in self._changes.puts.items():
            stored, absent = self._tables[table], self.absent_keys.get(table, ())
            puts = [
                stored.insert(rows[key]) if key in absent else stored.put(rows[key])
                for key in sorted(rows)
            ]
            _write_bulk(stored, puts, session)
        for counter, counts in self._changes.increments.items():
            stored = self._tables[counter]
            adds = [
                stored.add(key, counts[key], self._part)
                for key in sorted(counts)
                if any(counts[key])
            ]
            _write_bulk(stored, adds, session)
            # Counts can only have become zero where something was subtracted.
            less = sorted(key for key, added in counts.items() if min(added) < 0)
            for keys in _split_requests(less):
                stored.blocking.delete_many(stored.zero_parts(keys, self._part), session=session)


def _write_bulk(stored: MongoTable, writes: Sequence[Any], session: ClientSession) -> None:
    for request in _split_requests(writes):
        stored.blocking.bulk_write(request, ordered=False, session=session)


def _split_requests(whole: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(whole), _WRITES_PER_REQUEST):
        yield whole[start : start + _WRITES_PER_REQUEST]


def _conflict_ids(changes: Changes, partition: int) -> Iterator[int]:
    for table, rows in changes.rows_read.items():
        if table.conflict_checked:
            for bucket in _row_buckets(table, rows):
                yield bucket * PARTITION_SLOTS + partition % PARTITION_SLOTS
    for written in (changes.puts, changes.deletes):
        for table, keys in written.items():
            if table.conflict_checked:
                for bucket in _row_buckets(table, keys):
                    yield from range(bucket * PARTITION_SLOTS, (bucket + 1) * PARTITION_SLOTS)


def _row_buckets(table: Table[Any] | CounterTable[Any], keys: Iterable[Key]) -> Iterator[int]:
    """The same in every process, unlike Python's own hash."""
    return (crc32(repr((table.name, key)).encode()) % _ROW_BUCKETS for key in keys)
