"""Events as Arrow columns, and how they are written as Parquet.

A row is an event: its envelope, the fields that many types share (ids as int64, null where a type
has no such field), and the whole data as JSON. `category` is the kind of stream. Needs `pyarrow`.

Batches of Python rows become Arrow arrays at once, which is cheap while they are in the cache;
all the rest, with the parsing of the JSON, happens in Arrow on tables of many batches, without the
interpreter's lock.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from events.codec import EVENT_CODEC, UnknownEvent
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES
from events.ids.snowflake import EPOCH_MS
from events.json_lines import UNREADABLE_JSON

ID_COLUMNS: Final = (
    "user", "post", "author", "reply_to", "followee", "follower", "blocker", "blocked", "muter",
    "muted", "dismissed", "list", "member", "subject", "filter",
)  # fmt: skip
TEXT_COLUMNS: Final = ("handle", "text")

ROW_GROUP_EVENTS: Final = 1 << 13
"""Events of a row group: what is in memory at once."""

RECORD_BATCH_EVENTS: Final = 500
"""Events that become arrays at once: more fall out of the cache, fewer pay for each array."""

DICTIONARY_TYPE: Final = pa.dictionary(pa.int32(), pa.string())
PARQUET_SCHEMA: Final = pa.schema(
    [
        ("position", pa.int64()),
        ("id", pa.int64()),
        ("time", pa.timestamp("ms", "UTC")),
        ("stream", pa.string()),
        ("category", DICTIONARY_TYPE),
        ("version", pa.int32()),
        ("type", DICTIONARY_TYPE),
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

_STORED_SCHEMA: Final = pa.schema(
    [
        (name, pa.string() if name == "type" else PARQUET_SCHEMA.field(name).type)
        for name in StoredEvent._fields
    ]
)
_SHARED_COLUMNS: Final = (*ID_COLUMNS, *TEXT_COLUMNS)
_SHARED_COLUMNS_OF: Final = {
    name: frozenset(kind.__struct_fields__).intersection(_SHARED_COLUMNS)
    for kind, (name, _) in EVENT_TYPES.items()
}


class ReadableEvents(NamedTuple):
    """Events as a Table, and the positions of those that were left out."""

    table: Any
    left_out: list[int]


def is_readable(path: Path) -> bool:
    """Whether a file can be read to its end, as far as its sums and shapes tell."""
    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches():
                pass
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True


def to_record_batch(batch: Sequence[StoredEvent]) -> Any:
    """A RecordBatch of events as the log holds them."""
    columns = list(zip(*batch, strict=True)) if batch else [()] * len(_STORED_SCHEMA)
    try:
        arrays = _to_arrays(columns)
    except pa.ArrowInvalid:  # data in no UTF-8, which `to_table` can't have a column of
        arrays = _to_arrays([*columns[:-1], tuple(map(_empty_unless_utf8, columns[-1]))])
    return pa.RecordBatch.from_arrays(arrays, schema=_STORED_SCHEMA)


def to_table(batches: Sequence[Any]) -> ReadableEvents:
    """A Table of `PARQUET_SCHEMA` from the batches of `to_record_batch`.

    Events that don't decode can't be rows, and are left out.
    """
    events = pa.Table.from_batches(batches, _STORED_SCHEMA).combine_chunks()
    try:
        return ReadableEvents(_shape_table(events), [])
    except pa.ArrowInvalid:
        stored = [events[name].to_pylist() for name in ("type", "schema", "data")]
        readable = pa.array([_is_readable(*row) for row in zip(*stored, strict=True)], pa.bool_())
        left_out = events["position"].filter(pc.invert(readable)).to_pylist()
        return ReadableEvents(_shape_table(events.filter(readable).combine_chunks()), left_out)


def _to_arrays(columns: Sequence[Any]) -> list[Any]:
    return [
        pa.array(column, field.type) for column, field in zip(columns, _STORED_SCHEMA, strict=True)
    ]


def _empty_unless_utf8(data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        return b""
    return data


def _is_readable(type: str, schema: int, data: str) -> bool:
    try:
        EVENT_CODEC.decode(type, schema, data.encode())
    except (UnknownEvent, *UNREADABLE_JSON):
        return False
    return "\n" not in data


def _shape_table(events: Any) -> Any:
    ids = events["id"].to_numpy()
    columns = {
        **dict(zip(events.column_names, events.columns, strict=True)),
        **_read_shared_columns(events["data"], pc.unique(events["type"]).to_pylist()),
        "time": pa.array((ids >> 22) + EPOCH_MS).cast(pa.timestamp("ms", "UTC")),
        "category": _stream_categories(events["stream"]).dictionary_encode(),
        "type": events["type"].dictionary_encode(),
    }
    return pa.table(
        [columns[name].cast(PARQUET_SCHEMA.field(name).type) for name in PARQUET_SCHEMA.names],
        PARQUET_SCHEMA,
    )


def split_by_date(events: Any) -> list[tuple[str, Any]]:
    """(YYYY-MM-DD in UTC, the events of that day in their order) for each day, in order."""
    days = events["time"].cast(pa.timestamp("ms")).cast(pa.date32())
    found = sorted(pc.unique(days).to_pylist())
    if len(found) == 1:
        return [(found[0].isoformat(), events)]
    return [
        (day.isoformat(), events.filter(pc.equal(days, pa.scalar(day, pa.date32()))))
        for day in found
    ]


def open_writer(where: Any) -> Any:
    """A ParquetWriter of `PARQUET_SCHEMA` to a path or a binary file."""
    return pq.ParquetWriter(
        where,
        PARQUET_SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=["category", "type"],
        sorting_columns=[pq.SortingColumn(PARQUET_SCHEMA.get_field_index("position"))],
    )


def release_memory() -> None:
    """Let Arrow return to the system what it freed; it takes a millisecond."""
    pa.default_memory_pool().release_unused()


def _read_shared_columns(data: Any, types: Sequence[str]) -> dict[str, Any]:
    """The shared columns out of a column of JSON objects of events of these types."""
    # A column that no event has takes as long to look for as one that all have.
    wanted = set().union(*(_SHARED_COLUMNS_OF.get(name, _SHARED_COLUMNS) for name in types))
    columns = {
        name: pa.nulls(len(data), pa.string()) for name in _SHARED_COLUMNS if name not in wanted
    }
    if wanted:
        objects = data.combine_chunks()
        whole = pa.LargeListArray.from_arrays(np.array([0, len(objects)]), objects)
        [joined] = pc.binary_join(whole, "\n")
        text = joined.as_buffer()
        options = pa.json.ReadOptions(use_threads=False, block_size=max(text.size + 1, 1 << 16))
        found = pa.json.read_json(pa.BufferReader(text), options, _parse_options(frozenset(wanted)))
        columns |= dict(zip(found.column_names, found.columns, strict=True))
    return columns


@cache
def _parse_options(wanted: frozenset[str]) -> Any:
    return pa.json.ParseOptions(
        explicit_schema=pa.schema([(name, pa.string()) for name in sorted(wanted)]),
        unexpected_field_behavior="ignore",
        newlines_in_values=False,
    )


def _stream_categories(streams: Any) -> Any:
    return pc.list_element(pc.split_pattern(streams, "-", max_splits=1), 0)
