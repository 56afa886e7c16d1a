"""Commands of analysts on a copy of a data folder that can't be written."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from api.clicks.click_log import Click
from infra.settings import Settings
from infra.sqlite.click_log import CLICKS_FILE, SqliteClickLog
from infra.sqlite.event_log import SqliteLog
from tests.support import big_logs
from tests.support.log_adapters import post_append
from tests.support.starling_program import starling

QUESTION = "SELECT count(*) AS n FROM post_created"


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder mounted on itself and not to be written, also for root, during the block."""
    try:
        subprocess.run(["mount", "--bind", folder, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no folder can be mounted here: {error}")
    try:
        remount = ["mount", "-o", "remount,ro,bind", str(folder)]
        if subprocess.run(remount, check=False, capture_output=True).returncode:
            pytest.skip("no folder can be mounted read-only here")
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def add_a_click(folder: Path) -> None:
    async def append() -> None:
        with closing(SqliteClickLog(folder / CLICKS_FILE)) as log:
            await log.append_clicks([Click(0, 0, 1, None, 5, None, "view", None, None)])

    asyncio.run(append())


def test_commands_that_read_leave_a_read_only_copy_as_it_is(tmp_path: Path) -> None:
    copy = big_logs.create_post_log(tmp_path / "copy", 5)
    add_a_click(copy)
    before = contents(copy)
    with read_only(copy):
        clicks = starling("sql", "SELECT post FROM clicks", "--json", "--data", copy)
        asked = starling("sql", QUESTION, "--json", "--data", copy)
        replayed = starling("replay", "--data", copy)
        verified = starling("events", "verify", "--data", copy)
        exported = starling("replay", "-o", tmp_path / "events.jsonl", "--data", copy)
    assert [done.stderr for done in (asked, replayed) if done.returncode] == []
    assert json.loads(asked.stdout) == [{"n": 5}]
    assert (clicks.stderr, json.loads(clicks.stdout)) == (b"", [{"post": 5}])
    assert len(replayed.stdout.splitlines()) == 5
    assert b"position 5" in verified.stderr
    assert exported.returncode == 0
    assert (tmp_path / "events.jsonl").read_bytes() == replayed.stdout
    assert contents(copy) == before


def test_operators_may_ask_a_read_only_copy_too(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    register = b'{"command": "register", "key": "u1", "data": {"handle": "ada", "name": "Ada"}}'
    assert starling("import", "-", "--data", copy, stdin=register).returncode == 0
    assert starling("projections", "rebuild", "profiles", "--data", copy).returncode == 0
    before = contents(copy)
    questions = (
        ("projections", "status", "profiles"), ("projections", "check"),
        ("projections", "show", "profiles", "--json"), ("dlq", "list"),
        ("backup", tmp_path / "backup"),
    )  # fmt: skip
    with read_only(copy):
        done = {asked[:2]: starling(*asked, "--data", copy) for asked in questions}
        token = starling("token", "@ada", "--data", copy)  # tokens are stored
    assert {asked: one.stderr for asked, one in done.items() if one.returncode} == {}
    assert b"current" in done["projections", "status"].stdout
    assert b'"handle":"ada"' in done["projections", "show"].stdout.replace(b" ", b"")
    assert (token.returncode, token.stdout) == (1, b"")
    assert b"accounts.sqlite" in token.stderr
    assert contents(copy) == before


@pytest.mark.parametrize("with_shm", [True, False], ids=["shm copied", "shm left behind"])
def test_events_that_a_copied_wal_still_holds_are_never_left_out_silently(
    with_shm: bool, tmp_path: Path
) -> None:
    data = big_logs.create_post_log(tmp_path / "data", 3)
    log_file = Settings(data=data).log_path
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(SqliteLog(log_file)) as log:
        asyncio.run(_append(log, 4))
        for end in ("", "-wal", "-shm") if with_shm else ("", "-wal"):
            shutil.copy(f"{log_file}{end}", copy)
    before = contents(copy)
    assert before["log.sqlite-wal"]
    with read_only(copy):
        asked = starling("sql", QUESTION, "--json", "--data", copy)
    if asked.returncode == 0:
        assert json.loads(asked.stdout) == [{"n": 4}]
    else:
        assert not with_shm
        assert (asked.returncode, asked.stdout) == (1, b"")
        assert asked.stderr.count(b"\n") == 1
        assert b"log.sqlite-wal" in asked.stderr
    assert contents(copy) == before


def test_after_a_clean_stop_the_file_alone_has_every_event(tmp_path: Path) -> None:
    data = big_logs.create_post_log(tmp_path / "data", 3)
    log_file = Settings(data=data).log_path
    log = SqliteLog(log_file)
    asyncio.run(_append(log, 4))
    with closing(sqlite3.connect(log_file)) as still_open:
        still_open.execute("SELECT count(*) FROM events").fetchall()
        log.close()
        (tmp_path / "copy").mkdir()
        shutil.copy(log_file, tmp_path / "copy")
    copied = starling("sql", QUESTION, "--json", "--data", tmp_path / "copy")
    assert json.loads(copied.stdout) == [{"n": 4}]


async def _append(log: SqliteLog, number: int) -> None:
    await log.append(post_append(number))
