"""A projector that is killed while it switches to a rebuilt view, at every point of it."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.command_side import open_log
from infra.projector import projector
from infra.settings import Settings
from infra.views.builds import ViewFiles
from tests.program import STARLING, environment
from tests.rebuilding import check_views, files, tamper, view, with_patch

DYING = """
import os
from pathlib import Path
from infra.views.builds import ViewFiles
from infra.views.current import CurrentFiles
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
        "(CurrentFiles, 'switch', 'before')",
        "(CurrentFiles, 'switch', 'after')",
        "(ViewFiles, 'remove', 'before')",
        "(ViewFiles, 'remove', 'after')",
        "(ViewFiles, 'forget', 'before')",
        "(ViewFiles, 'forget', 'after')",
    ],
)
def test_a_projector_killed_during_a_switch_finishes_it_when_it_starts_again(
    victim: str, data: Settings, tmp_path: Path
) -> None:
    tamper(view(data, "timeline"), "DELETE FROM posted WHERE post % 3 = 0")
    command = [sys.executable, "-m", "infra.build_view", "timeline"]
    env = environment(STARLING_DATA=str(data.data))
    subprocess.run(command, env=env, check=True)
    flag = tmp_path / "die"
    flag.touch()
    patched = with_patch(tmp_path / "patch", DYING.format(victim=victim, flag=str(flag)), data)
    with subprocess.Popen([STARLING, "work"], env=patched) as process:
        assert process.wait(30) == -signal.SIGKILL

    async def start_again() -> None:
        with open_log(data) as log:
            async with projector(data, log) as here:
                await here.runner.start()
                await here.runner.catch_up()
                await here.tend()

    asyncio.run(start_again())
    assert view(data, "timeline").name == "timeline-1-2.sqlite"
    assert "timeline-1.sqlite" not in files(data)
    assert ViewFiles(data.views_folder).read("timeline") is None
    asyncio.run(check_views(data, tmp_path))
