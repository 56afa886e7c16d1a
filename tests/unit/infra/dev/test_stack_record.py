"""What was started is ended, and nothing else ever is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from infra.cli.options import settings_with_options
from infra.dev import stack_record
from infra.dev.stack_record import StackFailed, StackRecord, StartedProcess, stop_stack
from infra.settings import Settings

SLEEPER = "import signal, sys; signal.signal(signal.SIGTERM, {handler}); print(1, flush=True)\n"
ENDS_IN_ORDER = SLEEPER.format(handler="lambda *_: sys.exit(0)") + "signal.pause()"
STUBBORN = SLEEPER.format(handler="signal.SIG_IGN") + "while True: signal.pause()"


@pytest.fixture
def children() -> Iterator[list["subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def child(
    children: list["subprocess.Popen[bytes]"], program: str = ENDS_IN_ORDER
) -> StartedProcess:
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    children.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return StartedProcess.from_pid(f"number {len(children)}", process.pid)


def test_a_process_is_asked_to_end(children: list["subprocess.Popen[bytes]"]) -> None:
    one = child(children)
    assert one.is_running()
    assert one.stop()
    assert not one.is_running()
    assert children[0].wait() == 0


def test_a_process_that_will_not_end_is_killed(children: list["subprocess.Popen[bytes]"]) -> None:
    one = child(children, STUBBORN)
    assert one.stop(grace_seconds=0.2)
    assert children[0].wait() == -signal.SIGKILL


@pytest.mark.parametrize("change", [{"ticks": 1}, {"boot": "another"}])
def test_another_process_with_the_same_id_is_left_alone(
    children: list["subprocess.Popen[bytes]"], change: dict[str, object]
) -> None:
    one = msgspec.structs.replace(child(children), **change)
    assert not one.is_running()
    assert not one.stop()
    assert children[0].poll() is None


def test_a_zombie_process_counts_as_ended(
    children: list["subprocess.Popen[bytes]"],
) -> None:
    one = child(children)
    os.kill(one.pid, signal.SIGKILL)
    while one.is_running():
        time.sleep(0.01)
    assert psutil.pid_exists(one.pid)
    with pytest.raises(ProcessLookupError):
        StartedProcess.from_pid("dead", one.pid)


def test_down_ends_the_last_first_and_forgets(
    children: list["subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path)
    first, second, gone = (child(children) for _ in range(3))
    gone.stop()
    stack_record.write_stack_record(
        settings.stack_file, StackRecord((first, gone, second), {"API": "http://somewhere"})
    )
    output: list[str] = []
    assert stop_stack(settings, output.append)
    assert output == [f"{second.name} ended", f"{first.name} ended"]
    assert not settings.stack_file.exists()
    assert not stop_stack(settings, output.append)


def test_commands_find_the_engines_of_a_running_stack_unless_they_are_told_others(
    children: list["subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = {"STARLING_KAFKA": "here:9092", "STARLING_VIEWS": "mongodb://here/starling"}
    for name in engines:
        monkeypatch.delenv(name, raising=False)
    one = child(children)
    settings = Settings(data=tmp_path)
    stack_record.write_stack_record(settings.stack_file, StackRecord((one,), {}, engines))
    found = settings_with_options(data=tmp_path)
    assert (found.kafka, found.views) == ("here:9092", "mongodb://here/starling")
    monkeypatch.setenv("STARLING_KAFKA", "there:9092")
    assert settings_with_options(data=tmp_path).kafka == "there:9092"
    monkeypatch.delenv("STARLING_KAFKA")
    one.stop()
    assert settings_with_options(data=tmp_path).mongodb is None


def test_a_process_that_stands_still_is_told_apart_and_ends_at_once_when_it_is_stopped(
    children: list["subprocess.Popen[bytes]"],
) -> None:
    one = child(children)
    assert not one.is_stopped()
    os.kill(one.pid, signal.SIGSTOP)
    while not one.is_stopped():
        time.sleep(0.01)
    began = time.monotonic()
    assert one.stop()
    assert time.monotonic() - began < 5
    assert not one.is_stopped()


def test_a_process_that_not_even_a_kill_ends_is_reported_when_the_others_ended(
    children: list["subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path)
    first, stuck = child(children), child(children)
    record = StackRecord((first, stuck))
    stack_record.write_stack_record(settings.stack_file, record)
    monkeypatch.setattr(stack_record, "KILL_SECONDS", 0.2)
    monkeypatch.setattr(StartedProcess.stop, "__defaults__", (0.2,))
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, sent: pid == stuck.pid or kill(pid, sent))
    with pytest.raises(StackFailed, match=rf"{stuck.name} \(process {stuck.pid}\) was killed"):
        stop_stack(settings, print)
    assert (first.is_running(), stuck.is_running()) == (False, True)
    monkeypatch.setattr(os, "kill", kill)
    assert stop_stack(settings, print)
    assert not settings.stack_file.exists()
