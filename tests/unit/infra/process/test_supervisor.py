"""The supervisor keeps its children alive, stops them all, and is not outlived by them."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import uvicorn

from infra.process.child import python_command
from infra.process.child_run import ChildProcess
from infra.process.supervisor import START_ATTEMPTS, ChildCannotStart, Supervisor, watch_lifeline
from tests.support.source_tree import read_lines, source_files
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CHILD = """
import asyncio, os, pathlib, signal, sys
from infra.process.child_run import announce_ready
from infra.process.supervisor import watch_lifeline
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    watch_lifeline(int(sys.argv[-1]), stop.set)
    announce_ready(int(sys.argv[-1]))
    out = pathlib.Path(sys.argv[1])
    with out.open("a") as lines: print("up", os.getpid(), file=lines)
    await stop.wait()
    with out.open("a") as lines: print("down", os.getpid(), file=lines)
asyncio.run(main())
"""
PARENT = """
import asyncio, os, pathlib, sys
from infra.process.child_run import ChildProcess
from infra.process.supervisor import Supervisor
child = ChildProcess("child", ["-c", sys.argv[2], sys.argv[1]])
asyncio.run(Supervisor([child], os.environ, print).run())
"""


def lines(out: Path) -> list[tuple[str, int]]:
    if not out.exists():
        return []
    split = (line.split() for line in out.read_text().splitlines())
    return [(word, int(pid)) for word, pid in split]


async def test_a_killed_child_is_started_again_and_all_stop_in_order(tmp_path: Path) -> None:
    out, output = tmp_path / "out", list[str]()
    supervisor = Supervisor(
        [ChildProcess("the child", ["-c", CHILD, str(out)])], os.environ, output.append
    )
    running = asyncio.create_task(supervisor.run())
    await wait_until(lambda: len(lines(out)) == 1)
    first = lines(out)[0][1]
    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: len(lines(out)) == 2)
    second = lines(out)[1][1]
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, PATIENCE_SECONDS)
    assert lines(out) == [("up", first), ("up", second), ("down", second)]
    assert "the child was killed by signal 9" in output[0]


@pytest.mark.parametrize("log", [False, True], ids=["piped", "logged"])
async def test_a_child_that_cannot_start_ends_the_parent_with_its_last_line(
    log: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, output = tmp_path / "out", list[str]()
    code = f"open({str(out)!r}, 'a').write('up '); import sys; sys.exit('starling: no such folder')"
    failing = ChildProcess("the child", ["-c", code], log_file=tmp_path / "log" if log else None)
    healthy = tmp_path / "healthy"
    children = [ChildProcess("another", ["-c", CHILD, str(healthy)]), failing]
    supervisor = Supervisor(children, os.environ, output.append)
    with pytest.raises(ChildCannotStart, match=r"^the child can't start: no such folder$") as ended:
        await asyncio.wait_for(supervisor.run(), PATIENCE_SECONDS)
    assert ended.value.exit_status == 1
    assert out.read_text().split() == ["up"] * START_ATTEMPTS
    assert (output, capfd.readouterr().err) == ([], "")
    words = [word for word, _ in lines(healthy)]
    assert words == ["up", "down"], "the others are stopped in order"


async def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('starling: no such log\\n'); sys.exit(2)"
    supervisor = Supervisor([ChildProcess("the child", ["-c", code])], os.environ, print)
    began = time.monotonic()
    with pytest.raises(ChildCannotStart, match="no such log") as ended:
        await supervisor.run()
    assert ended.value.exit_status == 2
    assert time.monotonic() - began < 5


async def test_the_traceback_of_a_child_that_cannot_start_is_shown_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    supervisor = Supervisor([ChildProcess("the child", ["-c", "1 / 0"])], os.environ, print)
    with pytest.raises(ChildCannotStart, match="ZeroDivisionError: division by zero"):
        await supervisor.run()
    assert capfd.readouterr().err.count("Traceback") == 1


async def test_a_child_that_was_ready_once_is_started_again_as_often_as_it_dies(
    tmp_path: Path,
) -> None:
    out, output = tmp_path / "out", list[str]()
    code = CHILD.replace("await stop.wait()", "sys.exit('gone')")
    supervisor = Supervisor(
        [ChildProcess("the child", ["-c", code, str(out)])], os.environ, output.append
    )
    running = asyncio.create_task(supervisor.run())
    await wait_until(lambda: len(lines(out)) > START_ATTEMPTS)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, PATIENCE_SECONDS)
    assert all("ended with 1; it starts again" in line for line in output)


async def test_no_file_of_the_working_directory_is_imported_in_place_of_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("api", "events", "infra", "json", "logging"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    code = "import json, logging, api, events, infra.process; print('right')"
    for arguments in (("-c", code), ("-m", "infra.process.child")):
        child = await asyncio.create_subprocess_exec(*python_command(*arguments))
        assert await child.wait() == 0


def test_every_python_process_of_the_product_is_started_by_python_command() -> None:
    uses = [path for path in source_files() if "sys.executable" in "".join(read_lines(path))]
    assert [str(path) for path in uses] == ["infra/process/child.py"]


async def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("-c", PARENT, str(out), CHILD)
    parent = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        await wait_until(lambda: len(lines(out)) == 1)
    finally:
        parent.kill()
        await parent.wait()
    await wait_until(lambda: [word for word, _ in lines(out)] == ["up", "down"])


@pytest.mark.parametrize("unread", [0, 3])
def test_a_parent_that_dies_with_heartbeats_unread_is_seen_to_be_gone(unread: int) -> None:
    async def watch() -> None:
        stop = asyncio.Event()
        here, parent = socket.socketpair()
        with here:
            here.send(b"." * unread)
            watch_lifeline(here.fileno(), stop.set)
            parent.close()
            await asyncio.wait_for(stop.wait(), PATIENCE_SECONDS)

    loop_factory = uvicorn.Config("").get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(watch())
