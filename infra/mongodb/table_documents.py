"""One table of a read model as documents of a MongoDB collection.

The key is the `_id`: a document of the key columns in their order, so that it is unique, a range of
it is a prefix of the key, and no second index is needed. The other columns stand beside it:

    {_id: {user: 7, post: 12}, id: 15}

A counter table has a row in parts, one for each partition that counted, and readers sum them, so
that writers of different partitions never write the same document:

    {_id: {of: {post: 12}, part: 3}, likes: 2, retweets: 0, comments: 1}
"""

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo import ASCENDING, DESCENDING, InsertOne, ReplaceOne, UpdateOne
from pymongo.collection import Collection

from projections.tables import CounterTable, Key, Table

COUNTER_PARTS: Final = 64
"""Parts of a counter's row at most: partition 64 counts into the part of partition 0."""

Document = Mapping[str, Any]
Sort = list[tuple[str, int]]


class MongoTable:
    """Translates one table to documents, filters and writes of MongoDB."""

    def __init__(
        self, table: Table[Any] | CounterTable[Any], collection: Any, blocking: Collection[Any]
    ) -> None:
        self.collection = collection
        self.blocking = blocking
        """The same collection for threads, which wait for each answer."""
        self.is_counter = isinstance(table, CounterTable)
        self.row_type = table.row_type
        self.key_width = table.key_size
        self._columns = table.columns
        self._key_columns = table.columns[: table.key_size]
        self._value_columns = table.columns[table.key_size :]
        self._indexes = table.indexes
        self.key_path = "_id.of" if self.is_counter else "_id"
        hints = typing.get_type_hints(table.row_type)
        self._hints = hints
        self._required = [n for n, c in enumerate(self._columns) if not _is_nullable(hints[c])]
        self._all_required = len(self._required) == len(self._columns)

    def describe_schema(self) -> dict[str, Any]:
        """The part of the schema that must be the same in the program and in the database.

        It is stored; `tally` there says whether this is a counter table.
        """
        return {
            "columns": [f"{column} {_type_name(self._hints[column])}" for column in self._columns],
            "key": list(self._key_columns),
            "indexes": [list(index) for index in self._indexes],
            "tally": self.is_counter,
        }

    def needed_indexes(self) -> list[Sort]:
        """The indexes that the collection needs besides that of `_id`.

        A counter's parts are summed before they are sorted, so an index of their values is no help.
        """
        if self.is_counter:
            return [[(self.key_path, ASCENDING)]]
        return [self._index_order(index, ASCENDING) for index in self._indexes]

    def key_document(self, key: Key) -> dict[str, Any]:
        """A key as a document."""
        return dict(zip(self._key_columns, key, strict=True))

    def decode_rows(self, documents: Iterable[Document]) -> list[Any]:
        """The rows of documents; for a counter, all parts of a row must be among them."""
        # Not through the row type's own constructor, which takes twice as long: a batch reads tens
        # of thousands of rows.
        make, kind = tuple.__new__, self.row_type
        if self.is_counter:
            sums: dict[Key, list[int]] = {}
            for document in documents:
                key = tuple(document["_id"]["of"].values())
                counts = [document.get(column, 0) for column in self._value_columns]
                if key in sums:
                    counts = list(map(sum, zip(sums[key], counts, strict=True)))
                sums[key] = counts
            return [make(kind, (*key, *counts)) for key, counts in sums.items() if any(counts)]
        rows = []
        for document in documents:
            key, *rest = document.values()
            rows.append(make(kind, (*key.values(), *rest)))
        return rows

    def summed_stages(
        self,
        prefix: Key,
        index: tuple[str, ...],
        above: Any,
        below: Any,
        descending: bool,
    ) -> list[dict[str, Any]]:
        """The stages that scan a counter along an index: its parts are summed, then sorted."""
        columns, direction = self._index_columns(index), DESCENDING if descending else ASCENDING
        paths = {c: f"_id.{c}" if c in self._key_columns else c for c in columns}
        fixed = dict(zip(columns, prefix, strict=False))
        leading = tuple(fixed[c] for c in takewhile(fixed.__contains__, self._key_columns))
        sums = {column: {"$sum": f"${column}"} for column in self._value_columns}
        wanted: dict[str, Any] = {paths[column]: value for column, value in fixed.items()}
        if bounds := _bounds_filter(above, below):
            wanted[paths[columns[len(prefix)]]] = bounds
        return [
            {"$match": self._key_range_filter(leading, None, None)},
            {"$group": {"_id": f"${self.key_path}", **sums}},
            {"$match": {"$or": [{column: {"$ne": 0}} for column in self._value_columns], **wanted}},
            {"$sort": dict.fromkeys(paths.values(), direction)},
        ]

    def decode_sums(self, documents: Iterable[Document]) -> list[Any]:
        """The rows of those stages' documents."""
        make, kind = tuple.__new__, self.row_type
        return [
            make(kind, (*one["_id"].values(), *map(one.__getitem__, self._value_columns)))
            for one in documents
        ]

    def columnar_stage(self) -> dict[str, Any]:
        """A stage that makes one document of many, with an array for each column: reading it takes
        a third of the time. The result must fit into 16 MB."""
        arrays = {column: {"$push": f"${self._field_path(column)}"} for column in self._columns}
        return {"$group": {"_id": None, **arrays}}

    def decode_columnar(self, documents: Iterable[Document]) -> list[Any]:
        """The rows of that stage's documents."""
        make, kind = tuple.__new__, self.row_type
        return [
            make(kind, values)
            for document in documents
            for values in zip(*(document[column] for column in self._columns), strict=True)
        ]

    def insert(self, row: tuple[Any, ...]) -> InsertOne[Any]:
        """Add a row that does not exist."""
        return InsertOne(self._row_document(row))

    def put(self, row: tuple[Any, ...]) -> ReplaceOne[Any]:
        """Add a row, or replace the one with its key."""
        document = self._row_document(row)
        return ReplaceOne({"_id": document["_id"]}, document, upsert=True)

    def add(self, key: Key, counts: Sequence[int], part: int) -> UpdateOne:
        """Add to a part of a row, which begins at zero."""
        return UpdateOne(
            {"_id": self.part_id(key, part)},
            {"$inc": dict(zip(self._value_columns, counts, strict=True))},
            upsert=True,
        )

    def part_id(self, key: Key, part: int) -> dict[str, Any]:
        """The `_id` of a part of a counter's row."""
        return {"of": self.key_document(key), "part": part}

    def zero_parts(self, keys: Iterable[Key], part: int) -> Document:
        """The parts with those keys that are all zero."""
        ids = [self.part_id(key, part) for key in keys]
        return {"_id": {"$in": ids}, **dict.fromkeys(self._value_columns, 0)}

    def sort_order(self, index: tuple[str, ...] | None, descending: bool) -> Sort:
        """How a scan is sorted; it is the order of an index that exists."""
        direction = DESCENDING if descending else ASCENDING
        return (
            [(self.key_path, direction)] if index is None else self._index_order(index, direction)
        )

    def index_hint(self, index: tuple[str, ...] | None) -> Sort:
        """The index that a scan uses."""
        return self.sort_order(index, descending=False)

    def range_filter(
        self, prefix: Key, index: tuple[str, ...] | None, above: Any, below: Any
    ) -> dict[str, Any]:
        """The rows under a prefix, between two exclusive bounds of the column after it."""
        if index is None:
            return self._key_range_filter(prefix, above, below)
        columns = self._index_columns(index)
        wanted: dict[str, Any] = {
            self._field_path(column): value for column, value in zip(columns, prefix, strict=False)
        }
        bounds = _bounds_filter(above, below)
        if bounds:
            wanted[self._field_path(columns[len(prefix)])] = bounds
        return wanted

    def any_range_filter(
        self, firsts: Sequence[Any], index: tuple[str, ...], above: Any, below: Any
    ) -> dict[str, Any]:
        """The rows under any of an index's first values, between two exclusive bounds."""
        wanted: dict[str, Any] = {self._field_path(index[0]): {"$in": firsts}}
        bounds = _bounds_filter(above, below)
        return wanted | {self._field_path(index[1]): bounds} if bounds else wanted

    def _key_range_filter(self, prefix: Key, above: Any, below: Any) -> dict[str, Any]:
        if len(prefix) == self.key_width:
            return {self.key_path: self.key_document(prefix)}
        if not prefix and above is None and below is None:
            return {}
        # Documents are compared field by field, and the shorter is less. So what follows the
        # bounded column is left out of the lower end, and as large as can be at the upper one.
        names = self._key_columns[: len(prefix) + 1]
        lower: dict[str, Any] = dict(zip(names, (*prefix, MinKey()), strict=True))
        upper: dict[str, Any] = dict(zip(names, (*prefix, MaxKey()), strict=True))
        if above is not None:
            lower[names[-1]] = above
            lower |= dict.fromkeys(self._key_columns[len(names) :], MaxKey())
        if below is not None:
            upper[names[-1]] = below
        return {self.key_path: {"$gt": lower, "$lt": upper}}

    def _row_document(self, row: tuple[Any, ...]) -> dict[str, Any]:
        if None in row and (self._all_required or any(row[n] is None for n in self._required)):
            raise ValueError(f"a column of {self.row_type.__name__} may not be empty")
        document: dict[str, Any] = {"_id": dict(zip(self._key_columns, row, strict=False))}
        document.update(zip(self._value_columns, row[self.key_width :], strict=True))
        return document

    def _index_columns(self, index: tuple[str, ...]) -> tuple[str, ...]:
        """An index, with all key columns that it does not name behind it."""
        return index + tuple(column for column in self._key_columns if column not in index)

    def _field_path(self, column: str) -> str:
        return f"{self.key_path}.{column}" if column in self._key_columns else column

    def _index_order(self, index: tuple[str, ...], direction: int) -> Sort:
        return [(self._field_path(column), direction) for column in self._index_columns(index)]


def _bounds_filter(above: Any, below: Any) -> dict[str, Any]:
    bounds = {} if above is None else {"$gt": above}
    return bounds if below is None else bounds | {"$lt": below}


def _is_nullable(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _type_name(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(sorted(_type_name(kind) for kind in typing.get_args(hint)))
    return "null" if hint is type(None) else str(hint.__name__)
