"""Events as Arrow columns, and how they are written as Parquet.

A row is an event: its envelope, the fields that many types share (ids as int64, null where a type
has no such field), and the whole data as JSON. `category` is the kind of stream. Needs `pyarrow`.

Batches of Python rows become Arrow arrays at once, which is cheap while they are in the cache;
everything else happens in Arrow on tables of many batches, without the interpreter's lock, the
reading of the JSON too.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from events.recorded import Stored
from events.schema import STORED
from events.snowflake import EPOCH_MS

ID_COLUMNS: Final = (
    "user", "post", "author", "reply_to", "followee", "follower", "blocker", "blocked", "muter",
    "muted",
)  # fmt: skip
TEXT_COLUMNS: Final = ("handle", "text")

CHUNK: Final = 1 << 13
"""Events of a row group: what is in memory at once."""

ROWS: Final = 500
"""Events that become arrays at once: more fall out of the cache, fewer pay for each array."""

WORDS: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        ("position", pa.int64()),
        ("id", pa.int64()),
        ("time", pa.timestamp("ms", "UTC")),
        ("stream", pa.string()),
        ("category", WORDS),
        ("version", pa.int32()),
        ("type", WORDS),
        ("schema", pa.int16()),
        ("actor", pa.int64()),
        ("causation", pa.int64()),
        ("correlation", pa.int64()),
        *((name, pa.int64()) for name in ID_COLUMNS),
        *((name, pa.string()) for name in TEXT_COLUMNS),
        ("data", pa.string()),
    ]
)
"""The columns of every file."""

_ROWS: Final = pa.schema(
    [
        ("position", pa.int64()),
        ("id", pa.int64()),
        ("stream", pa.string()),
        ("version", pa.int32()),
        ("type", pa.string()),
        ("schema", pa.int16()),
        ("actor", pa.int64()),
        ("causation", pa.int64()),
        ("correlation", pa.int64()),
        ("data", pa.string()),
    ]
)
_SHARED: Final = (*ID_COLUMNS, *TEXT_COLUMNS)
_SHARED_OF: Final = {
    name: frozenset(kind.__struct_fields__).intersection(_SHARED)
    for kind, (name, _) in STORED.items()
}


def rows(batch: Sequence[Stored]) -> Any:
    """A RecordBatch of events as the log holds them."""
    columns = zip(*batch, strict=True) if batch else ((),) * len(_ROWS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _ROWS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_ROWS)


def table(batches: Sequence[Any]) -> Any:
    """A Table of `SCHEMA` from RecordBatches that `rows` made."""
    events = pa.Table.from_batches(batches, _ROWS).combine_chunks()
    ids = events["id"].to_numpy()
    columns = {
        **dict(zip(events.column_names, events.columns, strict=True)),
        **_fields(events["data"], pc.unique(events["type"]).to_pylist()),
        "time": pa.array((ids >> 22) + EPOCH_MS).cast(pa.timestamp("ms", "UTC")),
        "category": _categories(events["stream"]).dictionary_encode(),
        "type": events["type"].dictionary_encode(),
    }
    return pa.table([columns[name].cast(SCHEMA.field(name).type) for name in SCHEMA.names], SCHEMA)


def dates(events: Any) -> list[tuple[str, Any]]:
    """(YYYY-MM-DD in UTC, the events of that day in their order) for each day, in order."""
    days = events["time"].cast(pa.timestamp("ms")).cast(pa.date32())
    found = sorted(pc.unique(days).to_pylist())
    if len(found) == 1:
        return [(found[0].isoformat(), events)]
    return [
        (day.isoformat(), events.filter(pc.equal(days, pa.scalar(day, pa.date32()))))
        for day in found
    ]


def writer(where: Any) -> Any:
    """A ParquetWriter of `SCHEMA` to a path or a binary file."""
    return pq.ParquetWriter(
        where,
        SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=["category", "type"],
        sorting_columns=[pq.SortingColumn(SCHEMA.get_field_index("position"))],
    )


def give_back_memory() -> None:
    """Let Arrow return to the system what it freed; it takes a millisecond."""
    pa.default_memory_pool().release_unused()


def _fields(data: Any, types: Sequence[str]) -> dict[str, Any]:
    """The shared columns out of a column of JSON objects of events of these types."""
    # A column that no event has takes as long to look for as one that all have.
    wanted = set().union(*(_SHARED_OF.get(name, _SHARED) for name in types))
    columns = {name: pa.nulls(len(data), pa.string()) for name in _SHARED if name not in wanted}
    if wanted:
        objects = data.combine_chunks()
        whole = pa.LargeListArray.from_arrays(np.array([0, len(objects)]), objects)
        [joined] = pc.binary_join(whole, "\n")
        text = joined.as_buffer()
        options = pa.json.ReadOptions(use_threads=False, block_size=max(text.size + 1, 1 << 16))
        found = pa.json.read_json(pa.BufferReader(text), options, _reading(frozenset(wanted)))
        columns |= dict(zip(found.column_names, found.columns, strict=True))
    return columns


@cache
def _reading(wanted: frozenset[str]) -> Any:
    return pa.json.ParseOptions(
        explicit_schema=pa.schema([(name, pa.string()) for name in sorted(wanted)]),
        unexpected_field_behavior="ignore",
        newlines_in_values=False,
    )


def _categories(streams: Any) -> Any:
    return pc.list_element(pc.split_pattern(streams, "-", max_splits=1), 0)
