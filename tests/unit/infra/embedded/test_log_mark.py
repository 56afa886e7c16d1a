"""Views that show another log than the one that is there are noticed, and built again."""

import asyncio
import os
import shutil
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from events.log import LOG_START, EventLog, LogReplaced
from infra.embedded.log_mark import LOG_MARK_FILE, LogMark
from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.view_files import ProjectionSettings, ViewFiles
from projections.registry import ALL_PROJECTIONS
from tests.support.data_folders import check_views, current_view_file, project_log
from tests.support.mission_workload import MissionWorkload, append_events

BEFORE, LOST, AFTER = 60, 40, 80
"""Events before the copy; those that the copy lacks; and those that come instead."""


async def append(log: EventLog, start: int, count: int, seed: int = 1) -> None:
    made = MissionWorkload(20, seed).endless_events()
    await append_events(log, islice(made, start, start + count))


@pytest.fixture
async def folder(tmp_path: Path) -> Settings:
    """Views of a log of which only an older copy is left."""
    settings, copy = Settings(data=tmp_path / "data"), tmp_path / "copy.sqlite"
    settings.data.mkdir()
    with open_log(settings) as log:
        await append(log, 0, BEFORE)
    shutil.copy(settings.log_path, copy)
    with open_log(settings) as log:
        await append(log, BEFORE, LOST)
        await project_log(settings, log)
    copy.replace(settings.log_path)
    return settings


async def project(settings: Settings) -> None:
    with open_log(settings) as log:
        await project_log(settings, log)


def remove_log(settings: Settings) -> None:
    for path in settings.data.glob("log.sqlite*"):
        path.unlink()


@pytest.mark.parametrize("events", [0, 1, LOST - 1, LOST, AFTER])
async def test_a_log_that_has_lost_events_gets_views_of_its_own(
    folder: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, events: int
) -> None:
    with open_log(folder) as log:
        await append(log, BEFORE + LOST, events)
    await project(folder)
    await check_views(folder, tmp_path)
    (line,) = [record.message for record in caplog.records if "built again" in record.message]
    assert line.startswith("the views show event ")
    assert f"ends at position {BEFORE + events}; all views are built again from this log" in line


async def test_another_log_gets_views_of_its_own(
    folder: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    remove_log(folder)
    with open_log(folder) as log:
        await append(log, 0, BEFORE + LOST + AFTER, seed=2)
    await project(folder)
    await check_views(folder, tmp_path)
    assert "the views were made from another log than the one that is there now" in caplog.text


async def test_views_of_before_there_was_a_mark_are_noticed_beyond_the_head(
    folder: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder.views_folder / LOG_MARK_FILE).unlink()
    await project(folder)
    await check_views(folder, tmp_path)
    assert f"the log ends at {BEFORE}; all views are built again" in caplog.text


async def test_nothing_is_built_again_where_the_log_is_the_same(
    folder: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await project(folder)
    with open_log(folder) as log:
        await append(log, BEFORE + LOST, AFTER)
        await project_log(folder, log)
    caplog.clear()
    before = [current_view_file(folder, each.name) for each in ALL_PROJECTIONS]
    await project(folder)
    assert [current_view_file(folder, each.name) for each in ALL_PROJECTIONS] == before
    assert caplog.text == ""


async def test_what_was_decided_about_positions_of_another_log_is_forgotten(
    folder: Settings,
) -> None:
    files = ViewFiles(folder.views_folder)
    files.save_settings("posts", ProjectionSettings(paused=True, skips=frozenset({3})))
    snapshot = folder.snapshots_folder / "posts-1-90-7-60-9.sqlite"
    snapshot.parent.mkdir()
    snapshot.touch()
    await project(folder)
    assert files.settings_of("posts") == ProjectionSettings()
    assert not snapshot.exists()


async def test_a_projector_that_is_killed_before_all_is_forgotten_is_followed_by_one_that_goes_on(
    folder: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(mark: LogMark, log: EventLog) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LogMark, "start", die)
        with pytest.raises(KeyboardInterrupt):
            await project(folder)
    with open_log(folder) as log:
        await append(log, BEFORE + LOST, AFTER)
    await project(folder)
    await check_views(folder, tmp_path)


def move_away(settings: Settings) -> None:
    settings.log_path.replace(settings.data / "moved.sqlite")


def put_copy_back(settings: Settings) -> None:
    shutil.copy(settings.data / "copy.sqlite", settings.data / "copied.sqlite")
    os.replace(settings.data / "copied.sqlite", settings.log_path)
    for end in ("-wal", "-shm"):
        Path(f"{settings.log_path}{end}").unlink(missing_ok=True)


@pytest.mark.parametrize("replace", [move_away, put_copy_back])
async def test_a_running_projector_ends_with_the_reason(
    tmp_path: Path, replace: Callable[[Settings], None]
) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        await append(log, 0, BEFORE)
    shutil.copy(settings.log_path, tmp_path / "copy.sqlite")
    with open_log(settings) as log:
        await append(log, BEFORE, LOST)
        async with open_projector(settings, log, rebuilds=False) as projector:
            running = asyncio.create_task(projector.run(asyncio.Event()))
            await asyncio.sleep(0.1)
            assert not running.done()
            replace(settings)
            with pytest.raises(LogReplaced, match="was replaced while it was in use"):
                await asyncio.wait_for(running, 10)
        with pytest.raises(LogReplaced):
            await append(log, BEFORE + LOST, 1)
        with pytest.raises(LogReplaced):
            log.head()


async def test_the_mark_is_ahead_of_what_was_applied_and_never_goes_back(tmp_path: Path) -> None:
    with open_log(Settings(data=tmp_path)) as log:
        await append(log, 0, 3)
        first, second, third = log.read_all(LOG_START)
        for event in (second, first):
            mark = LogMark(tmp_path)
            mark.start(log)
            mark.advance(event)
            mark.close()
        kept = LogMark(tmp_path)
        kept.require_same_log(log)
        kept.close()
        content = (tmp_path / LOG_MARK_FILE).read_bytes()
    assert struct.unpack("=qq", content[:16]) == (second.position, second.id)
    assert third.id not in struct.unpack("=qq", content[:16])
    assert len(content) == 48
