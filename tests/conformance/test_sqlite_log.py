"""What only the log in SQLite promises: its file defends itself, and can be read by anyone."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from events.log import IdTaken, LogUnavailable
from infra.sqlite.event_log import SqliteLog
from tests.support.log_adapters import (
    FIRST_ID,
    all_event_keys,
    gather_outcomes,
    like_append,
    post_append,
)
from tests.support.requirements import REPOSITORY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(path)
    yield log
    log.close()


@pytest.fixture
def stranger(path: Path, log: SqliteLog) -> Iterator[sqlite3.Connection]:
    """The `sqlite3` shell of an operator, opened on the file while the log is in use."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "UPDATE events SET position = position + 100",
        "DELETE FROM events",
        "DELETE FROM events WHERE position = 1",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "REPLACE INTO events SELECT 99, id, 's', 1, type, schema, 0, 0, 0, data FROM events",
        "REPLACE INTO events SELECT 99, 99, stream, 1, type, schema, 0, 0, 0, data FROM events",
        "UPDATE keys SET result = 1",
        "DELETE FROM keys",
        "REPLACE INTO keys SELECT name, fingerprint, 1, 1 FROM keys",
        "UPDATE log_identity SET value = 'another'",
        "DELETE FROM log_identity",
        "INSERT INTO log_identity VALUES ('another')",
    ],
)
async def test_the_file_refuses_to_forget(
    log: SqliteLog, stranger: sqlite3.Connection, statement: str
) -> None:
    await log.append(post_append(1, key="k"))
    before = log.read_all(), log.idempotency_result("k"), log.identity
    with pytest.raises(sqlite3.IntegrityError):
        stranger.execute(statement)
    assert (log.read_all(), log.idempotency_result("k"), log.identity) == before


async def test_a_stranger_reads_the_file_while_it_is_written(
    log: SqliteLog, stranger: sqlite3.Connection
) -> None:
    stranger.execute("BEGIN")
    count = "SELECT count(*) FROM events"
    assert stranger.execute(count).fetchone() == (0,)
    await log.append(post_append(1, text="né"))
    assert stranger.execute(count).fetchone() == (0,)
    stranger.execute("COMMIT")
    query = "SELECT stream, data ->> 'text', typeof(data) FROM events"
    assert stranger.execute(query).fetchall() == [(f"post-{FIRST_ID + 1}", "né", "text")]


async def test_an_append_waits_for_a_stranger_that_holds_the_file(
    log: SqliteLog, stranger: sqlite3.Connection
) -> None:
    stranger.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(log.append(post_append(1)))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    stranger.execute("ROLLBACK")
    assert (await waiting).position == 1


async def test_what_cannot_be_stored_hurts_only_itself(log: SqliteLog) -> None:
    await log.append(post_append(1))
    done = await gather_outcomes(
        log.append(post_append(2)),
        log.append(like_append("like-1-1", 0, 1)),
        log.append(like_append("like-1-2", 0, 1 << 64)),
        log.append(post_append(3)),
    )
    kinds = [type(outcome).__name__ for outcome in done]
    assert kinds == ["AppendResult", IdTaken.__name__, OverflowError.__name__, "AppendResult"]
    assert [id - FIRST_ID for id, *_ in all_event_keys(log)] == [1, 2, 3]


def test_what_is_no_log_is_refused(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(LogUnavailable, match="not a database"):
        SqliteLog(path)
    assert path.read_text().startswith("Dear diary")
    with pytest.raises(LogUnavailable, match="can't be used"):
        SqliteLog(path.parent / "absent" / "log.sqlite")


async def test_a_log_is_the_same_after_it_was_closed(path: Path) -> None:
    log = SqliteLog(path)
    for number in range(5):
        await log.append(post_append(number, key=f"k{number}"))
    before = log.identity, log.read_all()
    log.close()
    log = SqliteLog(path)
    assert (log.identity, log.read_all()) == before
    assert (await log.append(post_append(4, key="k4"))).replayed
    log.close()


def test_threads_read_at_once(log: SqliteLog) -> None:
    asyncio.run(append_posts(log, 200))
    counts: list[int] = []

    def read() -> None:
        counts.extend(len(log.read_all(after, limit=50)) for after in range(0, 150, 3))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [50] * 8 * 50


async def append_posts(log: SqliteLog, count: int) -> None:
    await asyncio.gather(*(log.append(post_append(number)) for number in range(count)))


def test_a_full_disk_refuses_appends_until_there_is_room(path: Path) -> None:
    # In a process of its own: the limit on the size of files holds for all that it writes.
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.test_sqlite_log", str(path)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["refused", "wrote", "120"]


async def fill_the_disk(path: Path) -> None:
    """With files that may not grow, then with files that may."""
    log = SqliteLog(path)
    await append_posts(log, 20)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (path.with_name("log.sqlite-wal").stat().st_size, hard)
    )
    refused = await gather_outcomes(*(log.append(post_append(number)) for number in range(20, 120)))
    assert all(isinstance(outcome, LogUnavailable) for outcome in refused), refused
    assert len(all_event_keys(log)) == 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await asyncio.gather(*(log.append(post_append(number)) for number in range(20, 120)))
    print("refused", "wrote", len(all_event_keys(log)))  # noqa: T201
    log.close()


if __name__ == "__main__":
    asyncio.run(fill_the_disk(Path(sys.argv[1])))
