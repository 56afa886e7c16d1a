"""`starling restore` as a process."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.starling_program import STARLING, starling, starling_environment


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 5,000 events: two users who follow and like, and posts of theirs."""
    folder = tmp_path_factory.mktemp("data")
    lines = [
        {"command": "register", "data": {"handle": "ada", "name": "Ada"}},
        {"command": "register", "data": {"handle": "bob", "name": "Bob"}},
        {"command": "follow", "as": "@bob", "data": {"user": "@ada"}},
        *(
            {"command": "post", "as": "@ada", "key": str(n), "data": {"text": f"post {n}"}}
            for n in range(4993)
        ),
        {"command": "like", "as": "@bob", "data": {"post": "key:7"}},
        {"command": "follow", "as": "@ada", "data": {"user": "@bob"}},
    ]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    assert starling("import", "-", "--data", folder, stdin=text).returncode == 0
    return folder


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
    given, into = tmp_path / "whole.jsonl", tmp_path / "into"
    given.write_bytes(whole)
    restoring = subprocess.Popen(
        [STARLING, "restore", given, "--data", into], env=starling_environment()
    )
    while restoring.poll() is None and _count_events(into / "log.sqlite") < 1000:
        pass
    restoring.kill()
    restoring.wait()
    begun = _count_events(into / "log.sqlite")
    done = starling("restore", given, "--data", into)
    assert f"{5000 - begun:,} events".encode() in done.stderr
    assert starling("replay", "--data", into).stdout == whole


def _count_events(log: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


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


@pytest.mark.parametrize(
    "condition",
    [
        ("--type", "post-created"), ("--type", "user-registered"),
        ("--user", "@bob"), ("--user", "@ada"), ("--after", "4"), ("--stream", "handle-bob"),
        ("--from", "2020-01-01T00:00:00Z", "--type", "user-followed"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_selection_is_refused_by_its_events_and_by_its_manifest(
    condition: tuple[str, ...], data: Path, tmp_path: Path
) -> None:
    events = tmp_path / "some.jsonl"
    assert starling("replay", *condition, "--data", data, "-o", events).returncode == 0
    piped = starling("restore", "-", "--data", tmp_path / "one", stdin=events.read_bytes())
    named = starling("restore", events, "--data", tmp_path / "two")
    for done in (piped, named):
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert b"only an export of all events" in done.stderr
    assert starling("replay", "--data", tmp_path / "one").stdout.count(b"\n") < 1000
    assert not (tmp_path / "two").exists()


def test_a_file_that_its_manifest_knows_otherwise_is_refused(data: Path, tmp_path: Path) -> None:
    events = tmp_path / "all.jsonl"
    assert starling("replay", "--data", data, "-o", events).returncode == 0
    whole = events.read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged in (b"".join(lines[:-1]), whole[:-10]):
        events.write_bytes(damaged)
        done = starling("restore", events, "--data", tmp_path / "copy")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert b"manifest" in done.stderr
    lines[3], lines[4] = lines[4], lines[3]
    events.write_bytes(b"".join(lines))
    done = starling("restore", events, "--data", tmp_path / "copy")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    events.write_bytes(whole)
    assert starling("restore", events, "--data", tmp_path / "whole").returncode == 0


def test_other_formats_are_refused(data: Path, tmp_path: Path) -> None:
    for form in ("csv", "cloudevents"):
        written = starling("replay", "--format", form, "--data", data).stdout
        done = starling("restore", "-", "--data", tmp_path, stdin=written)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert b"line 1 is no event" in done.stderr


def test_verify_finds_what_a_sparse_restore_lacks(data: Path, tmp_path: Path) -> None:
    some = starling("replay", "--type", "post-created", "--data", data).stdout
    done = starling("restore", "-", "--sparse", "--data", tmp_path, stdin=some)
    assert done.returncode == 0
    found = starling("events", "verify", "--data", tmp_path)
    assert found.returncode == 1
    assert len(found.stdout.splitlines()) == 4993
    assert b"refers to user-" in found.stdout.splitlines()[0]
