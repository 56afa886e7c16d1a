"""`starling projections rebuild` on a data folder where nothing else runs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from projections.registry import ALL_PROJECTIONS
from streams.rebuild.rebuild_record import RebuildRecord
from tests.support.data_folders import (
    copy_data_folder,
    create_data_folder,
    current_view_file,
    patched_environment,
    project_log,
    read_table,
    tamper_with_view,
    view_file_name,
    view_file_names,
)
from tests.support.starling_program import STARLING, starling, starling_environment

EVENTS = 40_000
NAMES = [projection.name for projection in ALL_PROJECTIONS]
LATE = 30_000
"""The position of an event that the last batch but one holds."""


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A log and the views of it."""
    settings = create_data_folder(tmp_path_factory.mktemp("rebuild") / "data", EVENTS)
    done = starling("projections", "rebuild", "--all", "--data", settings.data)
    assert done.returncode == 0, done.stderr.decode()
    with open_log(settings) as log:
        asyncio.run(project_log(settings, log))
    return settings


@pytest.fixture
def data(projected: Settings, tmp_path: Path) -> Settings:
    return copy_data_folder(projected, tmp_path / "data")


def rebuild(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return starling("projections", "rebuild", *arguments, "--data", settings.data)


def output_text(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode()


def record(settings: Settings, name: str = "posts") -> RebuildRecord | None:
    return ViewFiles(settings.views_folder).read_record(name)


def wait_for_progress(settings: Settings, process: subprocess.Popen[bytes]) -> RebuildRecord:
    """Until the rebuild of posts is under way, and not nearly done."""
    while process.poll() is None:
        found = record(settings)
        if found is not None and 0 < found.position < EVENTS:
            return found
        time.sleep(0.005)
    raise AssertionError(f"it ended with {process.returncode} before its progress was seen")


@pytest.fixture
def builder(data: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A process that rebuilds posts, begun just now."""
    command: list[str | Path] = [sys.executable, "-m", "infra.embedded.rebuild_process", "posts"]
    env = starling_environment(STARLING_DATA=str(data.data))
    with subprocess.Popen(command, env=env) as process:
        yield process
        process.kill()


def test_a_view_that_was_tampered_with_is_right_again(data: Settings) -> None:
    before = current_view_file(data, "posts")
    likes, posts = read_table(before, "likes"), read_table(before, "posts")
    tamper_with_view(before, "UPDATE posts SET text = 'never said'")
    tamper_with_view(before, "INSERT INTO likes VALUES (1, 999, 5)")
    done = rebuild(data, "posts")
    assert done.returncode == 0, output_text(done)
    after = current_view_file(data, "posts")
    assert after != before
    assert (read_table(after, "likes"), read_table(after, "posts")) == (likes, posts)
    assert not before.exists()


def test_a_comparison_of_equal_views_switches(data: Settings) -> None:
    before = view_file_names(data)
    done = rebuild(data, "posts", "trending", "--verify")
    assert done.returncode == 0, output_text(done)
    assert view_file_names(data) ^ before == {
        view_file_name(name, number) for name in ("posts", "trending") for number in (1, 2)
    }


def test_a_difference_is_printed_and_leaves_everything_as_it_was(data: Settings) -> None:
    path, before = current_view_file(data, "profiles"), view_file_names(data)
    tamper_with_view(path, "UPDATE profiles SET name = 'Changed' WHERE user = 7")
    tamper_with_view(path, "DELETE FROM handles WHERE handle = 'user3'")
    done = rebuild(data, "profiles", "--verify")
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert "name='Changed'" in lines[0]
    assert "name='User 7'" in lines[0]
    assert lines[1].startswith("handles: live None, rebuilt HandleRow(handle='user3'")
    assert current_view_file(data, "profiles") == path
    assert view_file_names(data) == before | {"profiles.rebuild.json"}, (
        "the record says what was wrong"
    )
    assert rebuild(data, "profiles").returncode == 0
    assert record(data, "profiles") is None


def test_a_killed_rebuild_is_resumed(data: Settings, builder: subprocess.Popen[bytes]) -> None:
    wait_for_progress(data, builder)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    left = record(data)
    assert left is not None
    assert current_view_file(data, "posts").name == view_file_name("posts")
    live = read_table(current_view_file(data, "posts"), "likes")
    done = rebuild(data, "posts")
    assert done.returncode == 0, output_text(done)
    assert current_view_file(data, "posts").name == left.store, "the same file was gone on with"
    assert read_table(current_view_file(data, "posts"), "likes") == live


def test_after_a_restart_of_the_machine_it_begins_anew(
    data: Settings, builder: subprocess.Popen[bytes]
) -> None:
    wait_for_progress(data, builder)
    builder.kill()
    builder.wait()
    left = record(data)
    assert left is not None
    path = data.views_folder / "posts.rebuild.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path.write_text(path.read_text().replace(boot, "another boot"))
    assert rebuild(data, "posts").returncode == 0
    assert current_view_file(data, "posts").name == view_file_name("posts", 3)
    assert not (data.views_folder / left.store).exists()


def test_ctrl_c_leaves_no_trace(data: Settings) -> None:
    before = view_file_names(data)
    command: list[str | Path] = [STARLING, "projections", "rebuild", "posts", "--data", data.data]
    with subprocess.Popen(command, env=starling_environment(), stderr=subprocess.PIPE) as process:
        wait_for_progress(data, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert b"the live ones stay" in process.stderr.read()
    assert view_file_names(data) == before


def test_a_rebuild_of_another_process_is_cancelled_without_a_trace(
    data: Settings, builder: subprocess.Popen[bytes]
) -> None:
    before = view_file_names(data)
    wait_for_progress(data, builder)
    builder.send_signal(signal.SIGSTOP)  # it could be done before the other program has started
    command: list[str | Path] = [STARLING, "projections", "rebuild", "posts", "--cancel"]
    command += ["--data", data.data]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as cancelling:
        while record(data) is not None:
            assert cancelling.poll() is None
            time.sleep(0.005)
        builder.send_signal(signal.SIGCONT)
        _, told = cancelling.communicate(timeout=60)
    assert (cancelling.returncode, told.decode()) == (0, "posts: cancelled\n")
    assert builder.wait(30) == 1
    assert view_file_names(data) == before
    assert output_text(rebuild(data, "posts", "--cancel")) == "posts: no rebuild to cancel\n"


def test_two_do_not_rebuild_the_same_projection(
    data: Settings, builder: subprocess.Popen[bytes]
) -> None:
    wait_for_progress(data, builder)
    builder.send_signal(signal.SIGSTOP)  # it could be done before the other program has started
    done = rebuild(data, "posts")
    builder.send_signal(signal.SIGCONT)
    assert (done.returncode, output_text(done)) == (1, "posts is being rebuilt already\n")


def test_a_rebuild_process_ends_with_its_parent(data: Settings) -> None:
    command: list[str | Path] = [STARLING, "projections", "rebuild", "posts", "--data", data.data]
    with subprocess.Popen(command, env=starling_environment()) as process:
        wait_for_progress(data, process)
        process.kill()
    until = time.monotonic() + 30
    while rebuild(data, "posts").returncode != 0:
        assert time.monotonic() < until, "its lock is still held"


POISON = """
from projections.posts import PostsProjection
project = PostsProjection.project
def choosy(self, recorded, view):
    if recorded.position == {position}:
        raise ValueError('cannot take this')
    project(self, recorded, view)
PostsProjection.project = choosy
"""


def test_an_event_that_cannot_be_applied_stops_it_and_the_live_view_stays(
    data: Settings, tmp_path: Path
) -> None:
    before, path = view_file_names(data), current_view_file(data, "posts")
    env = patched_environment(tmp_path / "patch", POISON.format(position=LATE), data)
    command: list[str | Path] = [STARLING, "projections", "rebuild", "posts"]
    done = subprocess.run(command, env=env, capture_output=True)
    assert done.returncode == 1
    assert f"posts cannot apply the event at position {LATE}" in output_text(done)
    assert "ValueError: cannot take this" in output_text(done)
    assert current_view_file(data, "posts") == path
    assert view_file_names(data) == before | {"posts.rebuild.json"}
    told = starling("projections", "status", "posts", "--data", data.data)
    assert b"failed: posts cannot apply" in told.stdout

    skip: list[str | Path] = [STARLING, "projections", "skip", "posts", str(LATE)]
    assert subprocess.run(skip, env=env, capture_output=True).returncode == 0
    told = starling("projections", "status", "posts", "--json", "--data", data.data)
    [status] = json.loads(told.stdout)
    assert (status["rebuild"], status["skips"]) == ("", [str(LATE)])
    done = subprocess.run(command, env=env, capture_output=True)
    assert done.returncode == 0, output_text(done)
    assert f"posts: leaves out what it skips: {LATE}" in output_text(done)
    assert current_view_file(data, "posts") != path


def test_a_view_that_other_code_of_the_same_version_built_is_found_until_it_is_rebuilt(
    data: Settings,
) -> None:
    check = ("projections", "check", "--data", data.data)
    assert starling(*check).returncode == 0
    file = data.views_folder / "fingerprints.json"
    fingerprints = json.loads(file.read_text())
    assert set(fingerprints) == {os.path.basename(current_view_file(data, n)) for n in NAMES}
    trending = os.path.basename(current_view_file(data, "trending"))
    file.write_text(json.dumps({**fingerprints, trending: "0" * 16}))
    done = starling(*check, "--json")
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)}
    assert (done.returncode, states) == (1, dict.fromkeys(NAMES, "same") | {"trending": "changed"})
    resumed = starling("projections", "resume", "trending", "--data", data.data)
    assert "the code or the tables of trending changed" in output_text(resumed)
    assert rebuild(data, "trending").returncode == 0
    assert starling(*check).returncode == 0
    file.unlink()
    done = starling(*check, "--json")
    assert (done.returncode, {one["state"] for one in json.loads(done.stdout)}) == (0, {"unknown"})


def test_only_what_is_parked_or_stopped_a_rebuild_can_be_skipped_and_only_a_skip_taken_back(
    data: Settings,
) -> None:
    for verb, position, reason in (
        ("skip", 0, "only a dead letter can be skipped"),
        ("skip", 3, "only a dead letter can be skipped"),
        ("skip", 10_000_000, "only a dead letter can be skipped"),
        ("unskip", 3, "posts does not skip position 3"),
    ):
        done = starling("projections", verb, "posts", str(position), "--data", data.data)
        assert (done.returncode, reason in output_text(done)) == (1, True)
    done = starling("dlq", "purge", "posts", "3", "--data", data.data)
    assert (done.returncode, "no dead letter at position 3" in output_text(done)) == (1, True)


def test_names_are_checked(data: Settings) -> None:
    assert "name the projections to rebuild" in output_text(rebuild(data))
    assert "there are profiles, posts" in output_text(rebuild(data, "postings"))
    assert os.path.basename(current_view_file(data, "posts")) == view_file_name("posts")
