"""Where transactions of different partitions are made to meet.

MongoDB refuses one of two transactions at the same time that write the same document, but not where
each reads what the other writes: a follow that finds no block, and the block that finds no follow.
So whoever reads a row of a *watched* table writes a document that stands for the row, and whoever
writes the row writes it, too.

Each row has one such document for each slot of partitions: readers in different partitions, of
which there are many more than writers, don't meet each other. Rows share documents by a hash, so
that these are at most 65,536; a shared one costs no more than a repetition now and then.

The idea is that of 'big reader' locks (Linux, 1999), and of materialising a conflict under snapshot
isolation (Fekete et al., 'Making snapshot isolation serializable', 2005).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final
from zlib import crc32

from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from projections.store import Changes
from projections.tables import Key, Table

PARTITION_SLOTS: Final = 16
_ROW_BUCKETS: Final = 4096


class ConflictDocuments:
    """The documents of one view."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection

    def write(self, changes: Changes, partition: int, session: ClientSession) -> None:
        """Meet whoever reads or writes the same rows at the same time. Waits for the server.
        Raises `PyMongoError`."""
        ids = set(_document_ids(changes, partition))
        if ids:
            writes = [
                UpdateOne({"_id": id}, {"$inc": {"met": 1}}, upsert=True) for id in sorted(ids)
            ]
            self.collection.delegate.bulk_write(writes, ordered=True, session=session)


def _document_ids(changes: Changes, partition: int) -> Iterator[int]:
    for table, rows in changes.rows_read.items():
        if table.conflict_checked:
            for place in _row_buckets(table, rows):
                yield place * PARTITION_SLOTS + partition % PARTITION_SLOTS
    for written in (changes.puts, changes.deletes):
        for table, keys in written.items():
            if table.conflict_checked:
                for place in _row_buckets(table, keys):
                    yield from range(place * PARTITION_SLOTS, (place + 1) * PARTITION_SLOTS)


def _row_buckets(table: Table[Any], keys: Iterable[Key]) -> Iterator[int]:
    """The same in every process, unlike Python's own hash."""
    return (crc32(repr((table.name, key)).encode()) % _ROW_BUCKETS for key in keys)
