"""Data folders to rebuild views in, and programs with another mind than ours about projections."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from events.log import EventLog
from infra.command_side import open_log
from infra.projector import projector
from infra.settings import Settings
from infra.views.builds import ViewFiles
from tests.bench.worlds import write
from tests.fresh import all_rows, fresh_views, live_views
from tests.program import environment

SETTLED = 6_000
"""Events in the log of the fixture `settled`."""


def world(folder: Path, events: int) -> Settings:
    """A data folder with a log of so many events and no views."""
    settings = Settings(data=folder)
    folder.mkdir(parents=True)
    with open_log(settings) as log:
        asyncio.run(write(log, events, users=max(20, events // 50)))
    return settings


def copied(settings: Settings, folder: Path) -> Settings:
    """The same data in another folder."""
    shutil.copytree(settings.data, folder)
    return Settings(data=folder)


async def projected(settings: Settings, log: EventLog) -> None:
    """Bring the views, made in place where there are none, up to the log."""
    async with projector(settings, log, rebuilds=False) as here:
        await here.runner.start()
        await here.runner.catch_up()


def view(settings: Settings, projection: str) -> Path:
    """The file of a projection's current view."""
    path = ViewFiles(settings.views_folder).current.path(projection)
    assert path is not None
    return path


def tamper(path: Path, statement: str) -> None:
    """Change a view behind everybody's back."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def table(path: Path, name: str) -> list[tuple[object, ...]]:
    """All rows of a table of a view, in order."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f'SELECT * FROM "{name}" ORDER BY 1, 2').fetchall()


def files(settings: Settings) -> set[str]:
    """The files of views, without those that SQLite keeps beside them, and without locks."""
    names = os.listdir(settings.views_folder)
    return {name for name in names if not name.endswith(("-wal", "-shm")) and name != ".locks"}


async def check_views(settings: Settings, folder: Path) -> None:
    """The live views are what a fresh projection of the log gives."""
    with open_log(settings) as log:
        async with (
            fresh_views(log, folder) as fresh,
            live_views(settings.views_folder) as live,
        ):
            assert await all_rows(live) == await all_rows(fresh)


def with_patch(folder: Path, code: str, settings: Settings) -> dict[str, str]:
    """The environment of a Starling that runs `code` before anything else."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    return environment(STARLING_DATA=str(settings.data), PYTHONPATH=str(folder))
