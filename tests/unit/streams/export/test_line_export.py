"""Exports into one file of lines, gone on with by later runs."""

import csv
import json
from pathlib import Path

import pytest

from events.event_filter import EventFilter
from events.json_lines import parse_line
from streams.export.line_format import LINE_FORMATS
from streams.export.manifest import CannotResume, load
from streams.export.replay import open_path_export
from tests.support.export_logs import ROBIN, export_log, export_partly, grow_log, sample_log

FORMS = sorted(LINE_FORMATS)


def positions(form: str, path: Path) -> list[int]:
    lines = path.read_bytes().splitlines()
    if form == "csv":
        assert lines.pop(0).startswith(b"position,id,time,")
    return [LINE_FORMATS[form].identify(line)[0] for line in lines]


@pytest.mark.parametrize("form", FORMS)
def test_a_second_run_appends_only_what_is_new(form: str, tmp_path: Path) -> None:
    log, path = sample_log(10), tmp_path / "events"
    export_log(log, form, path)
    first = path.read_bytes()
    export_log(log, form, path)
    assert path.read_bytes() == first
    grow_log(log, 7)
    export_log(log, form, path)
    assert path.read_bytes().startswith(first)
    assert positions(form, path) == list(range(1, 18))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("torn", [b"", b"{", b'{"position":"99"', b"12,13"])
def test_an_export_of_a_killed_run_is_resumed(form: str, torn: bytes, tmp_path: Path) -> None:
    log, path = sample_log(30), tmp_path / "events"
    whole = tmp_path / "whole"
    export_partly(log, form, path, through=13)
    assert not path.exists()
    with (tmp_path / "events.part").open("ab") as part:
        part.write(torn)
    export_log(log, form, path)
    export_log(log, form, whole)
    assert path.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "events.part").exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_run_killed_while_it_appended_is_resumed(form: str, tmp_path: Path) -> None:
    log, path = sample_log(10), tmp_path / "events"
    export_log(log, form, path)
    grow_log(log, 20)
    export_partly(log, form, path, through=19)
    path.write_bytes(path.read_bytes()[:-3])
    export_log(log, form, path)
    assert positions(form, path) == list(range(1, 31))
    found = load(tmp_path / "events.manifest.json")
    assert found is not None
    assert (found.rows, found.first, found.last, found.upto) == (30, "1", "30", "30")
    assert found.bytes == path.stat().st_size


def test_a_header_torn_by_a_kill_is_rewritten(tmp_path: Path) -> None:
    log, path = sample_log(3), tmp_path / "events.csv"
    export_partly(log, "csv", path, through=0)
    (tmp_path / "events.csv.part").write_bytes(b"posit")
    export_log(log, "csv", path)
    assert positions("csv", path) == [1, 2, 3]


def test_the_manifest_of_a_selection_says_how_far_was_looked(tmp_path: Path) -> None:
    path = tmp_path / "robin.jsonl"
    export_log(sample_log(10), "jsonl", path, EventFilter(actor=ROBIN))
    found = load(tmp_path / "robin.jsonl.manifest.json")
    assert found is not None
    assert (found.first, found.last, found.upto, found.rows) == ("3", "9", "10", 3)
    assert found.selection == {"user": str(ROBIN)}


@pytest.mark.parametrize(
    ("form", "selection"), [("csv", EventFilter()), ("jsonl", EventFilter(actor=ROBIN))]
)
def test_another_format_or_selection_is_refused_and_harms_nothing(
    form: str, selection: EventFilter, tmp_path: Path
) -> None:
    log, path = sample_log(5), tmp_path / "events"
    export_log(log, "jsonl", path)
    before = path.read_bytes()
    with pytest.raises(CannotResume, match="choose another -o"):
        export_log(log, form, path, selection)
    assert path.read_bytes() == before


def test_an_export_of_another_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events"
    export_log(sample_log(5), "jsonl", path)
    with pytest.raises(CannotResume, match="another log"):
        export_log(sample_log(3), "jsonl", path)


def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("dear diary\n")
    with pytest.raises(CannotResume, match="no manifest"):
        export_log(sample_log(3), "jsonl", path)
    assert path.read_text() == "dear diary\n"


@pytest.mark.parametrize("change", [b"dear diary\n", b"9,8,7\n"])
def test_a_file_that_was_changed_is_refused(change: bytes, tmp_path: Path) -> None:
    log, path = sample_log(3), tmp_path / "events"
    export_log(log, "jsonl", path)
    path.write_bytes(path.read_bytes() + change)
    with pytest.raises(CannotResume, match="something else"):
        export_log(log, "jsonl", path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("left", [0, 3, 1000])
def test_what_a_power_cut_took_is_written_again(form: str, left: int, tmp_path: Path) -> None:
    log, path = sample_log(20), tmp_path / "events"
    export_log(log, form, path)
    whole, manifest = path.read_bytes(), (tmp_path / "events.manifest.json").read_bytes()
    path.write_bytes(whole[:left])
    export_log(log, form, path)
    assert path.read_bytes() == whole
    assert (tmp_path / "events.manifest.json").read_bytes() == manifest


def test_two_runs_on_one_file_exclude_each_other(tmp_path: Path) -> None:
    log, path = sample_log(3), tmp_path / "events"
    one = open_path_export("jsonl", path, EventFilter(), log, growing=False)
    with pytest.raises(CannotResume, match="another replay"):
        open_path_export("jsonl", path, EventFilter(), log, growing=False)
    one.close()


def test_a_folder_gets_a_file_and_a_growing_file_has_its_name_from_the_start(
    tmp_path: Path,
) -> None:
    log = sample_log(3)
    growing = open_path_export("jsonl", tmp_path, EventFilter(), log, growing=True)
    growing.write(log.read_all(), 3)
    growing.flush()
    assert positions("jsonl", tmp_path / "events.jsonl") == [1, 2, 3]
    growing.close()


def test_every_format_holds_every_event_whole(tmp_path: Path) -> None:
    log = sample_log(8)
    for form in FORMS:
        export_log(log, form, tmp_path / form)
    stored = log.read_all()
    assert [parse_line(line) for line in (tmp_path / "jsonl").read_bytes().splitlines()] == stored
    with (tmp_path / "csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["data"].encode() for row in rows] == [event.data for event in stored]
    clouds = [json.loads(line) for line in (tmp_path / "cloudevents").read_bytes().splitlines()]
    assert [cloud["id"] for cloud in clouds] == [str(event.id) for event in stored]
    assert [cloud["data"] for cloud in clouds] == [json.loads(event.data) for event in stored]
    assert {cloud["specversion"] for cloud in clouds} == {"1.0"}
    names = set().union(*clouds)
    assert all(name.isalnum() and name.islower() for name in names)


def test_the_sequence_of_cloudevents_is_ordered_as_text(tmp_path: Path) -> None:
    export_log(sample_log(120), "cloudevents", tmp_path / "events")
    lines = (tmp_path / "events").read_bytes().splitlines()
    sequences = [json.loads(line)["sequence"] for line in lines]
    assert sequences == sorted(sequences)
    assert [int(text) for text in sequences] == list(range(1, 121))
