"""`starling dlq`, with a projector that can't take an event and a program that can."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.log_of_record import open_log
from infra.settings import Settings
from tests.support.data_folders import (
    check_views,
    create_data_folder,
    current_view_file,
    patched_environment,
    project_log,
    read_table,
)
from tests.support.server_processes import running_processes
from tests.support.starling_program import STARLING, starling

BAD = 5_000

CHOOSY = f"""
from projections.posts import PostsProjection
project = PostsProjection.project
def choosy(self, recorded, view):
    if recorded.position == {BAD}:
        raise ValueError('cannot take this')
    project(self, recorded, view)
PostsProjection.project = choosy
"""


@pytest.fixture
def data(tmp_path: Path) -> Settings:
    """Views that were made by a program that can't take the event at `BAD`."""
    settings = create_data_folder(tmp_path / "data", 6_000)
    env = patched_environment(tmp_path / "patch", CHOOSY, settings)
    code = (
        "import asyncio; from infra.log_of_record import open_log; from infra import settings\n"
        "from tests.support.data_folders import project_log\nchosen = settings.from_environment()\n"
        "with open_log(chosen) as log: asyncio.run(project_log(chosen, log))"
    )
    command = [os.path.join(os.path.dirname(STARLING), "python"), "-c", code]
    done = subprocess.run(command, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert b"can't apply the event at position 5000" in done.stderr
    return settings


def ask(settings: Settings, *arguments: str) -> Any:
    done = starling(*arguments, "--json", "--data", settings.data)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def do(settings: Settings, *arguments: str) -> tuple[int, str]:
    done = starling(*arguments, "--data", settings.data)
    return done.returncode, done.stderr.decode().strip()


def test_a_dead_letter_is_listed_inspected_and_replayed(data: Settings, tmp_path: Path) -> None:
    [status] = ask(data, "projections", "status", "posts")
    assert (status["dead_letters"], status["state"]) == (1, "current")
    [letter] = ask(data, "dlq", "list")
    assert (letter["projection"], letter["position"]) == ("posts", str(BAD))
    assert letter["error"] == "ValueError: cannot take this"

    done = starling("dlq", "inspect", "posts", str(BAD), "--data", data.data)
    shown = json.loads(done.stdout)
    assert shown["event"]["position"] == str(BAD)
    assert shown["event"]["stream"] == letter["stream"]
    assert any("in choosy" in line for line in shown["traceback"])

    assert do(data, "dlq", "replay", "posts") == (0, "posts applied 1 events; 0 stay dead letters")
    assert ask(data, "dlq", "list") == []
    asyncio.run(check_views(data, tmp_path))


def test_an_event_that_still_fails_stays_a_dead_letter(data: Settings, tmp_path: Path) -> None:
    env = patched_environment(tmp_path / "patch", CHOOSY, data)
    done = subprocess.run([STARLING, "dlq", "replay", "posts"], env=env, capture_output=True)
    assert done.returncode == 1
    assert b"posts applied 0 events; 1 stay dead letters" in done.stderr
    assert len(ask(data, "dlq", "list", "posts")) == 1


def test_a_purged_dead_letter_is_gone_until_the_view_is_rebuilt(
    data: Settings, tmp_path: Path
) -> None:
    likes = len(read_table(current_view_file(data, "posts"), "likes"))
    assert do(data, "dlq", "purge", "posts")[0] == 2
    status, said = do(data, "dlq", "purge", "posts", "77")
    assert (status, "posts has no dead letter at position 77" in said) == (1, True)
    assert do(data, "dlq", "purge", "posts", "--all") == (0, "posts purged 1 dead letters")
    assert ask(data, "dlq", "list") == []
    assert len(read_table(current_view_file(data, "posts"), "likes")) == likes
    assert do(data, "projections", "rebuild", "posts")[0] == 0
    asyncio.run(check_views(data, tmp_path))


def test_an_unknown_dead_letter_is_reported(data: Settings) -> None:
    status, output = do(data, "dlq", "inspect", "posts", "1")
    assert status == 1
    assert "posts has no dead letter at position 1" in output


async def test_a_running_projector_carries_out_admin_commands(
    data: Settings, tmp_path: Path
) -> None:
    async with running_processes(data.data) as running:
        await running.start_projector()

        def order(*arguments: str) -> tuple[int, str]:
            return do(data, *arguments)

        paused = await asyncio.to_thread(order, "projections", "pause", "trending")
        assert paused == (0, "trending is paused")
        [status] = await asyncio.to_thread(ask, data, "projections", "status", "trending")
        assert status["state"] == "paused"
        resumed = await asyncio.to_thread(order, "projections", "resume", "trending")
        assert resumed == (0, "trending is resumed")
        replayed = await asyncio.to_thread(order, "dlq", "replay", "posts", str(BAD))
        assert replayed == (0, "posts applied 1 events; 0 stay dead letters")
    await check_views(data, tmp_path)


def test_a_pause_outlives_a_restart(data: Settings) -> None:
    assert do(data, "projections", "pause", "profiles")[0] == 0
    with open_log(data) as log:
        asyncio.run(project_log(data, log))
    [status] = ask(data, "projections", "status", "profiles")
    assert status["state"] == "paused"
