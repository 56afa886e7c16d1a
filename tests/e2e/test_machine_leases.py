"""Machine ids of real processes on one data folder, which are stopped and killed."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import REPOSITORY


class LeaseHolder:
    """A running tests.support.lease_holder_process."""

    def __init__(self, path: Path, block: int, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.lease_holder_process", str(path), str(block),
            str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip

    def read_line(self) -> dict[str, Any]:
        """The next thing that the process says."""
        assert self.process.stdout is not None
        output: dict[str, Any] = json.loads(self.process.stdout.readline())
        return output

    def make_ids(self, count: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self.read_line()

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, whatever state the process is in."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def finish(self) -> None:
        """Let it end by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0


Start = Callable[..., LeaseHolder]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    holders: list[LeaseHolder] = []

    def begin(block: int = 8, seconds: float = 30.0) -> LeaseHolder:
        holders.append(LeaseHolder(tmp_path / "leases.sqlite", block, seconds))
        return holders[-1]

    yield begin
    for holder in holders:
        holder.kill()


def take_over(start: Start, seconds: float = 30.0) -> dict[str, Any]:
    """Start holders of the only machine id until one gets it; what it said."""
    for _ in range(200):
        output = start(block=1, seconds=seconds).read_line()
        if "machine" in output:
            return output
    raise AssertionError("the machine id never became free")


def test_processes_that_start_together_get_different_machine_ids(start: Start) -> None:
    output = [holder.read_line() for holder in [start(block=3) for _ in range(5)]]
    assert sorted(each["machine"] for each in output if "machine" in each) == [0, 1, 2]
    assert sum("refused" in each for each in output) == 2


def test_a_machine_id_given_back_at_the_end_is_free_at_once(start: Start) -> None:
    first = start(block=1)
    old = first.read_line()
    newest = first.make_ids(3)["ids"][-1]
    first.finish()
    second = start(block=1)
    assert second.read_line()["token"] > old["token"]
    assert second.make_ids(1)["ids"][0] > newest


def test_a_killed_process_keeps_its_machine_id_until_expiry_and_not_longer(start: Start) -> None:
    first = start(block=1, seconds=3.0)
    old = first.read_line()
    newest = first.make_ids(3)["ids"][-1]
    killed_ms = time.time_ns() // 1_000_000
    first.kill()
    assert "refused" in start(block=1).read_line()
    new = take_over(start)
    assert new["from_ms"] >= old["from_ms"] + 3000
    assert new["from_ms"] <= killed_ms + 3000 + 10_000, "within a start of a process or two"
    assert new["token"] > old["token"]
    assert new["from_ms"] > (newest >> 22) + 1288834974657


def test_a_process_that_slept_through_its_lease_makes_no_ids_after_it(start: Start) -> None:
    sleeper = start(block=1, seconds=1.0)
    sleeper.read_line()
    made = sleeper.make_ids(1000)["ids"]
    sleeper.send_signal(signal.SIGSTOP)
    heir = take_over(start)
    sleeper.send_signal(signal.SIGCONT)
    answer = sleeper.make_ids(1)
    assert "its lease was not renewed" in answer["lost"]
    assert all((each >> 22) + 1288834974657 < heir["from_ms"] for each in made)


def test_a_lease_is_renewed_for_as_long_as_its_process_runs(start: Start) -> None:
    holder = start(block=1, seconds=1.5)
    holder.read_line()
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        assert "ids" in holder.make_ids(100)
    assert "refused" in start(block=1).read_line()


def test_killing_processes_at_random_never_makes_an_id_twice(start: Start) -> None:
    chance = random.Random(11)
    made: list[int] = []
    running: list[LeaseHolder] = []
    for _ in range(12):
        while len(running) < 3:
            holder = start(block=5, seconds=1.0)
            if "machine" in holder.read_line():
                running.append(holder)
        for _ in range(chance.randrange(1, 12)):
            made += chance.choice(running).make_ids(chance.randrange(1, 6000)).get("ids", [])
        running.pop(chance.randrange(3)).kill()
    assert len(made) > 12 * 1000
    assert len(set(made)) == len(made)
