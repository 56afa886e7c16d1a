"""A projector that is killed while it switches to a rebuilt view, at every point of it."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from tests.support.data_folders import (
    check_views,
    current_view_file,
    patched_environment,
    tamper_with_view,
    view_file_name,
    view_file_names,
)
from tests.support.starling_program import STARLING, starling_environment

DYING = """
import os
from pathlib import Path
from infra.sqlite.view_files import ViewFiles
from infra.sqlite.view_files import ViewFiles
kind, name, when = {victim}
method = getattr(kind, name)
def dying(self, *given):
    if when == 'after':
        method(self, *given)
    if Path({flag!r}).exists():
        os.kill(os.getpid(), 9)
    if when == 'before':
        method(self, *given)
setattr(kind, name, dying)
"""


@pytest.mark.parametrize(
    "victim",
    [
        "(ViewFiles, 'switch_files', 'before')",
        "(ViewFiles, 'switch_files', 'after')",
        "(ViewFiles, 'remove_view', 'before')",
        "(ViewFiles, 'remove_view', 'after')",
        "(ViewFiles, 'delete_record', 'before')",
        "(ViewFiles, 'delete_record', 'after')",
    ],
)
def test_a_projector_killed_during_a_switch_finishes_it_when_it_starts_again(
    victim: str, data: Settings, tmp_path: Path
) -> None:
    tamper_with_view(current_view_file(data, "timeline"), "DELETE FROM posted WHERE post % 3 = 0")
    command = [sys.executable, "-m", "infra.embedded.rebuild_process", "timeline"]
    env = starling_environment(STARLING_DATA=str(data.data))
    subprocess.run(command, env=env, check=True)
    flag = tmp_path / "die"
    flag.touch()
    patched = patched_environment(
        tmp_path / "patch", DYING.format(victim=victim, flag=str(flag)), data
    )
    with subprocess.Popen([STARLING, "work"], env=patched) as process:
        assert process.wait(30) == -signal.SIGKILL

    async def start_again() -> None:
        with open_log(data) as log:
            async with open_projector(data, log) as projector:
                await projector.runner.start()
                await projector.runner.catch_up()
                await projector.run_maintenance()

    asyncio.run(start_again())
    assert current_view_file(data, "timeline").name == view_file_name("timeline", 2)
    assert view_file_name("timeline") not in view_file_names(data)
    assert ViewFiles(data.views_folder).read_record("timeline") is None
    asyncio.run(check_views(data, tmp_path))
