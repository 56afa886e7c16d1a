"""`starling restore` as a process."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import big_logs
from tests.support.starling_program import STARLING, starling, starling_environment


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return big_logs.create_post_log(tmp_path_factory.mktemp("data"), 5000)


def test_what_replay_writes_restore_reads(data: Path, tmp_path: Path) -> None:
    events, copy = tmp_path / "events.jsonl", tmp_path / "copy"
    assert starling("replay", "--data", data, "-o", events).returncode == 0
    done = starling("restore", events, "--data", copy)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"5,000 events" in done.stderr
    assert starling("replay", "--data", copy).stdout == events.read_bytes()
    assert starling("events", "verify", "--data", copy).returncode == 0


def test_a_restore_killed_in_the_middle_is_started_again(data: Path, tmp_path: Path) -> None:
    whole = starling("replay", "--data", data).stdout
    lines = whole.splitlines(keepends=True)
    restoring = subprocess.Popen(
        [STARLING, "restore", "-", "--data", tmp_path],
        env=starling_environment(),
        stdin=subprocess.PIPE,
    )
    assert restoring.stdin is not None
    restoring.stdin.writelines(lines[:2500])
    restoring.stdin.flush()
    # It has done what lies before the window that it waits for.
    while not starling("replay", "--data", tmp_path, "--after", "1999").stdout:
        assert restoring.poll() is None
    restoring.kill()
    restoring.wait()
    restoring.stdin.close()
    done = starling("restore", "-", "--data", tmp_path, stdin=whole)
    assert b"3,000 events" in done.stderr
    assert starling("replay", "--data", tmp_path).stdout == whole


@pytest.mark.parametrize("wrong", ["a selection", "another log", "no events", "too deep"])
def test_what_cannot_be_restored_is_one_line_and_1(wrong: str, data: Path, tmp_path: Path) -> None:
    into, given = tmp_path, b'{"command":"post"}\n'
    if wrong == "another log":
        into, given = data, starling("replay", "--data", data, "--after", "3").stdout
    elif wrong == "a selection":
        [line] = starling("replay", "--data", data, "--after", "4999").stdout.splitlines()
        given = json.dumps(json.loads(line) | {"version": 2}).encode()
    elif wrong == "too deep":
        given = b'{"position":"1","data":' + b"[" * 20_000 + b"\n"
    done = starling("restore", "-", "--data", into, stdin=given)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, b"", 1)
