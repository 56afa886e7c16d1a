"""A data folder whose files still have their old names opens, and no decision in it is lost."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.process.file_locks import FileLock
from infra.settings import Settings
from infra.shared_memory.status_page import ProjectorAlreadyRunning
from infra.sqlite.view_files import ProjectionSettings, ViewFiles
from tests.support.data_folders import check_views, create_data_folder, project_log

OLD_NAMES = {
    "status-page": "board",
    "log.sqlite-queue.lock": "log.sqlite-turn",
    "log.sqlite-write.lock": "log.sqlite-door",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A folder with views, a paused projection, a killed rebuild, a command and leftovers."""
    settings = create_data_folder(tmp_path / "data", 200)
    with open_log(settings) as log:
        asyncio.run(project_log(settings, log))
    data, views = settings.data, settings.views_folder
    for new, old in OLD_NAMES.items():
        (data / new).rename(data / old)
    controls = {"posts": {"paused": True, "skips": [3]}}
    (views / "controls.json").write_text(json.dumps(controls))
    record = {
        "projection": "followers", "version": 1, "store": "followers-1-2.sqlite", "token": "ab",
        "state": "loading", "verify": True, "position": 7, "head": 200, "per_second": 1.5,
        "problem": "", "differences": [], "boot": "another",
    }  # fmt: skip
    (views / "followers.build.json").write_text(json.dumps(record))
    for folder in ("wake", "orders", "snapshots"):
        (data / folder).mkdir()
    (data / "wake" / "views.1.ab").touch()
    pause = {"what": "pause", "projection": "profiles", "positions": [], "verify": False}
    (data / "orders" / "1-ab.order").write_text(json.dumps(pause))
    (data / "orders" / "0-cd.answer").touch()
    (data / "snapshots" / "making-show-1.sqlite").touch()
    return settings


async def test_a_data_folder_with_old_names_opens(settings: Settings, tmp_path: Path) -> None:
    current = (settings.views_folder / "current.json").read_text()
    with open_log(settings) as log:
        async with open_projector(settings, log, rebuilds=False) as projector:
            await projector.run_maintenance()
    assert (settings.views_folder / "current.json").read_text() == current
    await check_views(settings, tmp_path)
    decided = ViewFiles(settings.views_folder)
    assert decided.settings_of("posts") == ProjectionSettings(True, frozenset({3}))
    assert decided.settings_of("profiles").paused, "the command was executed"
    record = ViewFiles(settings.views_folder).read_record("followers")
    assert record is not None
    assert (record.state, record.position, record.verify) == ("loading", 7, True)
    names = {name for _, folders, files in os.walk(settings.data) for name in folders + files}
    assert not names & {*OLD_NAMES.values(), "wake", "orders", "followers.build.json"}
    assert not any(name.startswith("making-") for name in names)


async def test_a_running_projector_of_the_older_program_keeps_the_folder(
    settings: Settings,
) -> None:
    with FileLock(settings.data / "board"), open_log(settings) as log:
        with pytest.raises(ProjectorAlreadyRunning, match="older version"):
            async with open_projector(settings, log, rebuilds=False):
                pass
        assert (settings.data / "orders").exists()
