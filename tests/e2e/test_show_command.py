"""`starling projections show`: a read model as it was, with and without snapshots."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from events.ids.snowflake import time_ms
from events.log import EventLog
from events.times import rfc3339
from infra.embedded.time_travel import build_point_in_time, open_built_view
from infra.in_memory.read_store import MemoryReadStore
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.snapshots import MAX_SNAPSHOTS, ViewSnapshots
from projections.registry import ALL_PROJECTIONS
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.rebuild import scan_rows
from streams.rebuild.time_travel import PointInTime, project_point_in_time
from tests.support.data_folders import create_data_folder
from tests.support.made_up_events import append_made_up
from tests.support.sparse_log import SparseLog
from tests.support.starling_program import starling

EVENTS = 3000

[PROFILES] = [one for one in ALL_PROJECTIONS if one.name == "profiles"]
[POSTS] = [one for one in ALL_PROJECTIONS if one.name == "posts"]


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A log and no views."""
    return create_data_folder(tmp_path_factory.mktemp("past") / "data", EVENTS)


def tables(settings: Settings, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    done = starling("projections", "show", *arguments, "--json", "--data", settings.data)
    assert done.returncode == 0, done.stderr.decode()
    shown: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return shown


def users_at(settings: Settings, moment: PointInTime) -> list[str]:
    async def run(log: EventLog) -> list[str]:
        store = MemoryReadStore(tables_with_dead_letters(PROFILES))
        await project_point_in_time(log, PROFILES, store, moment)
        return [str(row[0]) async for row in scan_rows(store, PROFILES.tables[0])]

    with open_log(settings) as log:
        return asyncio.run(run(log))


def test_it_shows_the_tables_at_a_position_at_a_time_and_now(projected: Settings) -> None:
    with open_log(projected) as log:
        [event] = log.read_all(19, limit=1)
        head = log.head()
    time = time_ms(event.id)
    for at, moment in (
        (str(event.position), PointInTime(event.position)),
        (rfc3339(time), PointInTime.from_unix_ms(time, head)),
        (str(event.id), PointInTime.from_unix_ms(time, head)),
    ):
        found = tables(projected, "profiles", "--at", at, "--table", "profiles")
        assert found.keys() == {"profiles"}
        assert [str(row["user"]) for row in found["profiles"]] == users_at(projected, moment) != []
    now = tables(projected, "profiles", "--table", "profiles")["profiles"]
    assert [str(row["user"]) for row in now] == users_at(projected, PointInTime(head))
    empty = tables(projected, "profiles", "--at", "0")
    assert list(empty) == [table.name for table in PROFILES.tables]
    assert list(empty.values()) == [[]] * len(empty)
    assert os.listdir(projected.snapshots_folder) == []


def test_a_person_gets_a_table_of_the_first_rows(projected: Settings) -> None:
    done = starling("projections", "show", "profiles", "--limit", "2", "--data", projected.data)
    assert done.returncode == 0
    text = done.stdout.decode()
    assert all(word in text for word in ("profiles", "handles", "bio"))
    assert "profiles: these are the first 2 rows" in done.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("profiles", "--at", "2079-01-01T00:00:00Z"),
        ("profiles", "--at", "yesterday"),
        ("profiles", "--at", "99999999"),
        ("profiles", "--at", "9" * 4400),
        ("profiles", "--table", "nothing"),
        ("nothing",),
    ],
)
def test_a_moment_or_a_name_that_makes_no_sense_is_wrong_usage(
    projected: Settings, arguments: tuple[str, ...]
) -> None:
    done = starling("projections", "show", *arguments, "--data", projected.data)
    assert (done.returncode, done.stdout) == (2, b"")


async def build_rows(settings: Settings, log: EventLog, moment: PointInTime) -> list[Any]:
    """The posts of a moment, made with a snapshot as soon as there is anything in it."""
    path = settings.snapshots_folder / "unfinished-test.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    snapshots = ViewSnapshots(settings.snapshots_folder)
    await build_point_in_time(snapshots, log, POSTS, moment, path, snapshot_after=1)
    store = open_built_view(POSTS, path)
    try:
        return [row for table in POSTS.tables async for row in scan_rows(store, table)]
    finally:
        await store.close()


def snapshots(settings: Settings) -> list[Path]:
    return sorted(settings.snapshots_folder.iterdir())


BREAKS = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "no database": lambda path: path.write_bytes(b"x" * 8192),
    "empty": lambda path: path.write_bytes(b""),
    "damaged": lambda path: path.write_bytes(
        path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
async def test_a_broken_snapshot_is_ignored_and_removed(
    projected: Settings, tmp_path: Path, broken: str
) -> None:
    there = Settings(data=tmp_path)
    with open_log(projected) as log:
        await build_rows(there, log, PointInTime(1000))
        there_before = snapshots(there)
        for snapshot in there_before:
            BREAKS[broken](snapshot)
        found = await build_rows(there, log, PointInTime(1500))
        assert there_before
        assert not {*there_before} & {*snapshots(there)}
        assert found == await build_rows(Settings(data=tmp_path / "empty"), log, PointInTime(1500))


@pytest.fixture(scope="module")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Another log."""
    return create_data_folder(tmp_path_factory.mktemp("other") / "data", 2000)


async def test_a_snapshot_of_another_log_is_ignored(
    projected: Settings, other_data: Settings, tmp_path: Path
) -> None:
    there = Settings(data=tmp_path / "here")
    with open_log(projected) as log, open_log(other_data) as another:
        await build_rows(there, another, PointInTime(1000))
        others = snapshots(there)
        found = await build_rows(there, log, PointInTime(1500))
        assert others
        assert not {*others} & {*snapshots(there)}
        assert found == await build_rows(Settings(data=tmp_path), log, PointInTime(1500))


async def test_a_snapshot_is_extended_and_the_last_used_stay(
    projected: Settings, tmp_path: Path
) -> None:
    there = Settings(data=tmp_path)
    positions: list[int] = []
    with open_log(projected) as log:
        for position in range(200, 2600, 200):
            await build_rows(there, log, PointInTime(position))
        assert len(snapshots(there)) == MAX_SNAPSHOTS
        path = tmp_path / "again.sqlite"
        moment, kept = PointInTime(2500), ViewSnapshots(there.snapshots_folder)
        await build_point_in_time(kept, log, POSTS, moment, path, report_progress=positions.append)
        opened_again = open_built_view(POSTS, path)
        assert await opened_again.read_checkpoint() == 2500
        await opened_again.close()
    assert positions == [2500]


async def test_a_log_with_holes_has_as_many_snapshots_on_the_way(tmp_path: Path) -> None:
    log, kept = SparseLog(), ViewSnapshots(tmp_path / "snapshots")
    await append_made_up(log, 0, 60)
    path = kept.unfinished_path("view")
    await build_point_in_time(kept, log, POSTS, PointInTime(log.head()), path, snapshot_after=1)
    assert len(list((tmp_path / "snapshots").glob("posts-*.sqlite"))) > 3


@pytest.mark.parametrize("asked", [0.5, 0.72, 0.8, 0.97])
async def test_a_question_about_a_time_near_one_that_was_asked_has_little_left_to_do(
    projected: Settings, tmp_path: Path, asked: float
) -> None:
    there = Settings(data=tmp_path)
    with open_log(projected) as log:
        head = log.head()

        def at(part: float) -> tuple[int, PointInTime]:
            [event] = log.read_all(int(EVENTS * part), limit=1)
            return event.position, PointInTime.from_unix_ms(time_ms(event.id), head)

        await build_rows(there, log, at(0.8)[1])
        position, moment = at(asked)
        snapshots = ViewSnapshots(there.snapshots_folder)
        store, cover = await snapshots.open_nearest(log, POSTS, moment, tmp_path / "next.sqlite")
        await store.close()
    assert cover.serves(moment)
    assert position - EVENTS * 0.2 < cover.position <= position or asked == 0.8
