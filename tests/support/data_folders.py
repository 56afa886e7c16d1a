"""Data folders to rebuild views in, and environments of a Starling that is patched at its start."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from events.log import EventLog
from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from infra.wiring.profile_choice import choose_profile
from projections.registry import projection_named
from streams.rebuild.admin import AdminCommand
from streams.rebuild.jobs import RebuildJobs, RebuildOutcome
from tests.support.fresh_projection import all_rows, fresh_views, open_live_views
from tests.support.mission_workload import write_log
from tests.support.starling_program import starling_environment

PROJECTED_EVENTS = 6_000
"""Events in the log of the fixture `projected`."""

_PATCH = """
import os, traceback
try:
    exec(compile({code!r}, "patch", "exec"), {{"__name__": "sitecustomize"}})
except BaseException:
    traceback.print_exc()
    os._exit(70)
"""
"""By itself Python goes on where `sitecustomize` fails, and a test would prove nothing."""


def create_data_folder(folder: Path, events: int) -> Settings:
    """A data folder with a log of so many events and no views."""
    settings = Settings(data=folder)
    folder.mkdir(parents=True)
    with open_log(settings) as log:
        asyncio.run(write_log(log, events, users=max(20, events // 50)))
    return settings


def copy_data_folder(settings: Settings, folder: Path) -> Settings:
    """The same data in another folder."""
    shutil.copytree(settings.data, folder)
    return Settings(data=folder)


async def rebuild_views(
    settings: Settings, log: EventLog, *names: str, verify: bool = False, at_once: int = 1
) -> dict[str, RebuildOutcome]:
    """Rebuild views and switch to them, as `starling projections rebuild` does."""
    profile = choose_profile(settings)
    async with (
        profile.open_admin(log, standalone=True) as admin,
        profile.open_rebuild_backend() as backend,
    ):
        jobs = RebuildJobs(
            backend, lambda name: admin.execute(AdminCommand("switch", name)), at_once
        )
        return await jobs.run(names, verify, lambda what, total: lambda done: None)


async def project_log(settings: Settings, log: EventLog) -> None:
    """Bring the views, made in place where there are none, up to the log."""
    async with open_projector(settings, log, rebuilds=False) as projector:
        await projector.runner.start()
        await projector.runner.catch_up()


def current_view_file(settings: Settings, projection: str) -> Path:
    """The file of a projection's current view."""
    path = ViewFiles(settings.views_folder).current_path(projection)
    assert path is not None
    return path


def view_file_name(projection: str, number: int = 1) -> str:
    """What the file of a projection's present version is called; `number` counts its rebuilds."""
    name = f"{projection}-{projection_named(projection).version}"
    return f"{name}.sqlite" if number == 1 else f"{name}-{number}.sqlite"


def tamper_with_view(path: Path, statement: str) -> None:
    """Change a view's file without telling the projector or an API process."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def read_table(path: Path, name: str) -> list[tuple[object, ...]]:
    """All rows of a table of a view, in order."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f'SELECT * FROM "{name}" ORDER BY 1, 2').fetchall()


def view_file_names(settings: Settings) -> set[str]:
    """The files of views, without those that SQLite keeps beside them, and without locks."""
    names = os.listdir(settings.views_folder)
    return {name for name in names if not name.endswith(("-wal", "-shm")) and name != ".locks"}


async def check_views(settings: Settings, folder: Path) -> None:
    """The live views are what a fresh projection of the log gives."""
    with open_log(settings) as log:
        async with (
            fresh_views(log, folder) as fresh,
            open_live_views(settings.views_folder) as live,
        ):
            assert await all_rows(live) == await all_rows(fresh)


def patched_environment(folder: Path, code: str, settings: Settings) -> dict[str, str]:
    """The environment of a Starling that runs `code` before anything else."""
    path = patched_path(folder, code)
    return starling_environment(STARLING_DATA=str(settings.data), PYTHONPATH=path)


def patched_path(folder: Path, code: str) -> str:
    """A PYTHONPATH with which every Python process runs `code` first.

    Where the code raises, because what it patches has another name by now, the process ends.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_PATCH.format(code=code), encoding="utf-8")
    return str(folder)
