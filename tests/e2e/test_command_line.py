"""The program as a process: exit status, one line for an expected error, signals."""

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest

from tests.support.fake_api import FakeApi
from tests.support.starling_program import STARLING, starling, starling_environment


def test_ids_are_unique_among_processes_at_one_time(tmp_path: Path) -> None:
    async def several() -> list[bytes]:
        processes = [
            await asyncio.create_subprocess_exec(
                STARLING, "ids", "next", "--count", "3000", "--data", tmp_path,
                stdout=asyncio.subprocess.PIPE, env=starling_environment(),
            )
            for _ in range(3)
        ]  # fmt: skip
        return [(await process.communicate())[0] for process in processes]

    ids = [int(line) for output in asyncio.run(several()) for line in output.split()]
    assert len(ids) == len(set(ids)) == 9000


def test_the_data_folder_comes_from_the_environment_too(tmp_path: Path) -> None:
    done = starling("ids", "next", STARLING_DATA=str(tmp_path / "here"))
    assert done.returncode == 0
    assert (tmp_path / "here" / "leases.sqlite").exists()


def test_a_data_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = starling("ids", "next", STARLING_DATA=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "file").encode() in done.stderr


@pytest.mark.parametrize("command", [("token", "@robin")], ids=" ".join)
def test_without_a_log_there_is_one_line_and_no_new_folder(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    done = starling(*command, "--data", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rb"starling: there is no log in .*/none yet: .*\n", done.stderr)
    assert not (tmp_path / "none").exists()


async def test_a_simulation_ends_with_a_table_on_stdout() -> None:
    async with FakeApi().serving() as url:
        process = await asyncio.create_subprocess_exec(
            STARLING, "simulate", "--url", url, "--users", "8", "--seconds", "0.5",
            "--posts-per-second", "8",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=starling_environment(),
        )  # fmt: skip
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    for operation in ("post", "like", "home timeline", "shown to follower"):
        assert operation in out.decode()


async def test_ctrl_c_ends_a_simulation_with_what_was_measured() -> None:
    feed = FakeApi()
    async with feed.serving() as url:
        process = await asyncio.create_subprocess_exec(
            STARLING, "simulate", "--url", url, "--users", "8", "--seconds", "600", "--json",
            stdout=asyncio.subprocess.PIPE, env=starling_environment(),
        )  # fmt: skip
        await feed.timeline_read.wait()
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    document = json.loads(out)
    assert process.returncode == 0
    assert document["interrupted"]
    assert sum(row["done"] for row in document["operations"].values()) < 8700


async def test_a_simulation_without_a_server_is_one_line() -> None:
    async with FakeApi().serving() as url:
        pass
    done = await asyncio.to_thread(starling, "simulate", "--url", url)
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(done.stderr.splitlines()) == 1
