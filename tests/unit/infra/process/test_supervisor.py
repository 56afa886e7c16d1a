"""The supervisor keeps its children alive, stops them all, and is not outlived by them."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from infra.process.supervisor import ChildProcess, Supervisor
from tests.support.waiting import wait_until

CHILD = """
import asyncio, os, pathlib, signal, sys
from infra.process.supervisor import watch_lifeline
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    watch_lifeline(int(sys.argv[-1]), stop.set)
    out = pathlib.Path(sys.argv[1])
    with out.open("a") as lines: print("up", os.getpid(), file=lines)
    await stop.wait()
    with out.open("a") as lines: print("down", os.getpid(), file=lines)
asyncio.run(main())
"""
PARENT = """
import asyncio, os, pathlib, sys
from infra.process.supervisor import ChildProcess, Supervisor
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
    await asyncio.wait_for(running, 20)
    assert lines(out) == [("up", first), ("up", second), ("down", second)]
    assert "the child was killed by signal 9" in output[0]


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
