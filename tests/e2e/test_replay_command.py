"""`starling replay` as a process: pipes, files, kills, following."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.support import big_logs
from tests.support.peak_memory import peak_kb
from tests.support.starling_program import STARLING, starling, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

COUNT = 40_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return big_logs.create_post_log(tmp_path_factory.mktemp("data"), COUNT)


def started(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([STARLING, "replay", *arguments], env=starling_environment())


def wait_for(seen: Callable[[], bool], running: subprocess.Popen[bytes]) -> None:
    """Look until something another process does is there."""
    for _ in range(6000):
        if seen():
            return
        assert running.poll() is None, "it ended too early"
        time.sleep(0.005)
    raise AssertionError("it never came")


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_events_go_to_stdout_in_order_and_nothing_else_does(data: Path) -> None:
    done = starling("replay", "--data", data, "--after", "39990")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["position"] for event in events] == [str(n) for n in range(39991, 40001)]
    assert (done.returncode, done.stderr) == (0, b"")


def test_conditions_select_and_wrong_ones_are_wrong_usage(data: Path) -> None:
    window = ("--from", "2020-09-13T12:26:45Z", "--to", "2020-09-13T12:26:50Z")
    done = starling("replay", "--data", data, *window, "--type", "post-created")
    times = [json.loads(line)["time"] for line in done.stdout.splitlines()]
    assert times == [f"2020-09-13T12:26:{second}.000Z" for second in range(45, 50)]
    for wrong in (("--type", "x"), ("--from", "now"), ("--user", "@missing"), ("--speed", "0")):
        done = starling("replay", "--data", data, *wrong)
        assert (done.returncode, done.stdout) == (2, b"")


def test_parquet_may_not_be_followed(data: Path) -> None:
    done = starling("replay", "--data", data, "--format", "parquet", "--follow", "-o", "x")
    assert (done.returncode, b"--format" in done.stderr) == (2, True)


def test_an_export_of_lines_survives_kill_9_and_is_resumed(data: Path, tmp_path: Path) -> None:
    path, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    slow = started("--data", data, "-o", path, "--speed", "500")
    wait_for(lambda: lines_in(part) > 20, slow)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    assert not path.exists()
    killed = lines_in(part)
    assert 20 < killed < COUNT
    with part.open("ab") as torn:
        torn.write(b'{"position":"12')
    done = starling("replay", "--data", data, "-o", path)
    assert done.returncode == 0
    expected = starling("replay", "--data", data).stdout
    assert path.read_bytes() == expected


def test_an_export_to_parquet_survives_kill_9_and_is_resumed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = started("--data", data, "--format", "parquet", "-o", out)
    wait_for(lambda: any(out.glob(".parts/*/*.parquet")), killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for _ in range(2):
        done = starling("replay", "--data", data, "--format", "parquet", "-o", out)
        assert done.returncode == 0
    found = pl.read_parquet(out / "**/*.parquet", hive_partitioning=True)
    assert found["position"].sort().to_list() == list(range(1, COUNT + 1))
    assert json.loads((out / "_manifest.json").read_bytes())["rows"] == COUNT


def test_following_goes_on_with_what_is_appended_and_ends_well_on_sigterm(tmp_path: Path) -> None:
    data, path = big_logs.create_post_log(tmp_path / "data", 10), tmp_path / "tail.jsonl"
    follower = started("--data", data, "-o", path, "--follow")
    wait_for(lambda: lines_in(path) == 10, follower)
    big_logs.create_post_log(data, 5)
    wait_for(lambda: lines_in(path) == 15, follower)
    follower.terminate()
    assert follower.wait(PATIENCE_SECONDS) == 0
    assert json.loads((tmp_path / "tail.jsonl.manifest.json").read_bytes())["rows"] == 15


def test_a_reader_that_has_enough_is_no_error(data: Path) -> None:
    replaying = subprocess.Popen(
        [STARLING, "replay", "--data", data], env=starling_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert replaying.stdout is not None
    assert replaying.stderr is not None
    replaying.stdout.readline()
    replaying.stdout.close()
    assert b"Traceback" not in replaying.stderr.read()
    replaying.stderr.close()
    replaying.wait()


@pytest.mark.parametrize(
    ("form", "few", "many"), [("jsonl", 10_000, 40_000), ("parquet", 60_000, 130_000)]
)
def test_memory_is_flat_however_long_the_log_is(
    form: str, few: int, many: int, tmp_path: Path
) -> None:
    peaks = []
    for count in (few, many):
        data, out = big_logs.create_post_log(tmp_path / str(count), count), tmp_path / f"out{count}"
        peaks.append(peak_kb([STARLING, "replay", "--data", data, "--format", form, "-o", out]))
    assert peaks[1] <= 1.2 * peaks[0]
