"""Exports into folders of Parquet."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from events.envelope import StoredEvent
from events.event_filter import EventFilter, select_events
from events.event_types import ID_FIELDS
from events.ids.snowflake import time_ms
from streams.export import parquet_export, parquet_format
from streams.export.manifest import CannotResume, load
from streams.export.replay import open_path_export, open_stream_export
from tests.support.export_logs import ROBIN, export_log, export_partly, grow_log, sample_log


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, commits and open files as small as the logs of tests."""
    monkeypatch.setattr(parquet_format, "ROW_GROUP_EVENTS", 500)
    monkeypatch.setattr(parquet_export, "COMMIT_EVENTS", 1000)
    monkeypatch.setattr(parquet_export, "MAX_OPEN_FILES", 2)


def rows(folder: Path) -> list[dict[str, Any]]:
    """All rows, in the order of position."""
    found = pl.read_parquet(folder / "**/*.parquet", hive_partitioning=True)
    return found.sort("position").to_dicts()


def check_files(folder: Path) -> None:
    """The manifest names the files that are there; dates and orders are right in each."""
    found = load(folder / "_manifest.json")
    assert found is not None
    assert {file.path for file in found.files} == {
        str(path.relative_to(folder)) for path in folder.rglob("*.parquet")
    }
    for file in found.files:
        table = pq.read_table(folder / file.path, partitioning=None)
        assert table.schema.equals(parquet_format.PARQUET_SCHEMA)
        positions = table["position"].to_pylist()
        assert positions == sorted(positions)
        assert [file.rows, file.first, file.last, file.bytes] == [
            len(positions), str(positions[0]), str(positions[-1]),
            (folder / file.path).stat().st_size,
        ]  # fmt: skip
        assert {f"date={time:%Y-%m-%d}" for time in table["time"].to_pylist()} == {
            Path(file.path).parent.name
        }
    assert found.rows == sum(file.rows for file in found.files)


def test_a_row_is_an_event_with_its_shared_fields(tmp_path: Path) -> None:
    log = sample_log(8)
    export_log(log, "parquet", tmp_path / "out")
    for row, event in zip(rows(tmp_path / "out"), log.read_all(), strict=True):
        data = json.loads(event.data)
        assert (
            StoredEvent._make(
                [*(row[name] for name in StoredEvent._fields[:-1]), row["data"].encode()]
            )
            == event
        )
        assert row["time"] == datetime.fromtimestamp(time_ms(event.id) / 1000, UTC)
        assert row["category"] == event.stream.partition("-")[0]
        for name in ID_FIELDS:
            assert row[name] == (int(data[name]) if name in data else None)
        assert (row["text"], row["handle"]) == (data.get("text"), data.get("handle"))
    check_files(tmp_path / "out")


def test_ids_are_int64_and_words_dictionaries_and_compression_is_zstd(tmp_path: Path) -> None:
    export_log(sample_log(8), "parquet", tmp_path)
    path = next(tmp_path.rglob("*.parquet"))
    for name in ("position", "id", "actor", *ID_FIELDS):
        assert parquet_format.PARQUET_SCHEMA.field(name).type == pa.int64()
    for name in ("type", "category"):
        assert isinstance(parquet_format.PARQUET_SCHEMA.field(name).type, pa.DictionaryType)
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}


@pytest.mark.usefixtures("small_batches")
def test_a_second_run_appends_files_and_leaves_the_others(tmp_path: Path) -> None:
    log = sample_log(2300)
    export_log(log, "parquet", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    export_log(log, "parquet", tmp_path)
    grow_log(log, 900)
    export_log(log, "parquet", tmp_path)
    assert [row["position"] for row in rows(tmp_path)] == list(range(1, 3201))
    assert all(path.read_bytes() == content for path, content in before.items())
    check_files(tmp_path)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("upto", [10, 500, 1500, 1999])
def test_an_export_of_a_killed_run_is_resumed(upto: int, tmp_path: Path) -> None:
    log = sample_log(2000)
    export_partly(log, "parquet", tmp_path, upto)
    # As if it had been killed between moving its files and naming them, or while it wrote.
    stray = tmp_path / "date=2023-11-15" / f"{1900:019}.parquet"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"half a file")
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts" / "x.parquet").write_bytes(b"half a file")
    export_log(log, "parquet", tmp_path)
    assert [row["position"] for row in rows(tmp_path)] == list(range(1, 2001))
    check_files(tmp_path)
    assert not (tmp_path / ".parts").exists()


@pytest.mark.usefixtures("small_batches")
def test_a_half_written_file_is_never_visible(tmp_path: Path) -> None:
    log = sample_log(2000)
    running = open_path_export("parquet", tmp_path, EventFilter(), log, growing=False)
    for batch in select_events(log, EventFilter(), 0, 2000):
        running.write(*batch)
        for path in tmp_path.glob("date=*/*.parquet"):
            pq.read_table(path)
    running.close()


def test_an_export_of_nothing_is_a_manifest(tmp_path: Path) -> None:
    export_log(sample_log(5), "parquet", tmp_path, EventFilter(actor=5))
    found = load(tmp_path / "_manifest.json")
    assert found is not None
    assert (found.rows, found.first, found.last, found.upto) == (0, None, None, "5")


def test_another_selection_log_or_folder_is_refused(tmp_path: Path) -> None:
    export_log(sample_log(5), "parquet", tmp_path / "out")
    with pytest.raises(CannotResume, match=r"holds all events.*events with user"):
        export_log(sample_log(5), "parquet", tmp_path / "out", EventFilter(actor=ROBIN))
    with pytest.raises(CannotResume, match="another log"):
        export_log(sample_log(3), "parquet", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(CannotResume, match="not empty"):
        export_log(sample_log(5), "parquet", tmp_path / "mine")


def test_a_file_that_a_power_cut_cut_is_refused(tmp_path: Path) -> None:
    export_log(sample_log(5), "parquet", tmp_path)
    path = next(tmp_path.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CannotResume, match="begin anew"):
        export_log(sample_log(5), "parquet", tmp_path)


def test_two_runs_on_one_folder_exclude_each_other(tmp_path: Path) -> None:
    log = sample_log(3)
    one = open_path_export("parquet", tmp_path, EventFilter(), log, growing=False)
    with pytest.raises(CannotResume, match="another replay"):
        open_path_export("parquet", tmp_path, EventFilter(), log, growing=False)
    one.close()


def test_a_stream_of_parquet_is_one_file(tmp_path: Path) -> None:
    log, out = sample_log(6), io.BytesIO()
    stream = open_stream_export("parquet", out)
    stream.write(log.read_all(), 6)
    stream.close()
    assert pq.read_table(pa.BufferReader(out.getvalue()))["position"].to_pylist() == [*range(1, 7)]


def undecodable(stored: StoredEvent, data: bytes) -> StoredEvent:
    return stored._replace(data=data)


@pytest.mark.parametrize(
    "data",
    [b"{", b"", b"\xff", b"[" * 20_000, b'{"post":"x"}', b'{"post":"1"}\n{"post":"2"}', b"7",
     b'{"post":{"a":1}}'],
)  # fmt: skip
def test_an_event_that_does_not_decode_is_left_out_and_named(data: bytes) -> None:
    events = sample_log(50).read_all()
    broken = [events[0], undecodable(events[1], data), *events[2:]]
    table, left_out = parquet_format.to_table([parquet_format.to_record_batch(broken)])
    assert left_out == [events[1].position]
    whole, none = parquet_format.to_table(
        [parquet_format.to_record_batch([events[0], *events[2:]])]
    )
    assert none == []
    assert table.to_pylist() == whole.to_pylist()


def test_pyarrow_reads_the_folder_as_it_is(tmp_path: Path) -> None:
    log = sample_log(200)
    export_log(log, "parquet", tmp_path)
    found = pyarrow.dataset.dataset(tmp_path, format="parquet", partitioning="hive").to_table()
    assert found.num_rows == log.head()
    assert pq.read_table(tmp_path).num_rows == log.head()
