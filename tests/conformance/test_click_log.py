"""The log of clicks: whole batches, shared flushes, and what leaves it."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.clicks.click_log import Click, ClickLog, ClicksBusy, ClicksUnavailable, PostReads
from infra.sqlite import click_questions
from infra.sqlite.click_log import SqliteClickLog
from infra.sqlite.click_questions import QUARTER_MS
from infra.sqlite.migrations import CLICKS_SCHEMA, FileSchema
from projections.distinct_count import Estimate

DAY = 96 * QUARTER_MS
ADA, BOB = 7, 8


def click(post: int | None = 5, at_ms: int = DAY, user: int | None = None) -> Click:
    page = None if post else "/about"
    return Click(at_ms, at_ms, -3, user, post, page, "click", None, None)


def dwell(post: int, ms: int) -> Click:
    return Click(DAY, DAY, -3, None, post, None, "dwell", ms, "example.org")


def view(post: int) -> Click:
    return click(post)._replace(kind="view")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clicks.sqlite"


@pytest.fixture(params=["file", "memory"])
def log(request: pytest.FixtureRequest, path: Path) -> Iterator[ClickLog]:
    opened = SqliteClickLog(path if request.param == "file" else ":memory:")
    with closing(opened):
        yield opened


def rows_in(path: Path, columns: str = "*") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM clicks ORDER BY id").fetchall()


async def test_what_was_appended_is_in_the_file_at_once_and_in_order(path: Path) -> None:
    with closing(SqliteClickLog(path)) as log, closing(SqliteClickLog(path)) as other:
        await log.append_clicks([click(1), click(None)])
        assert rows_in(path, "post, page, session") == [(1, None, -3), (None, "/about", -3)]
        await other.append_clicks([click(2)])
        await log.append_clicks([click(3)])
        assert rows_in(path, "id, post") == [(1, 1), (2, None), (3, 2), (4, 3)]


async def test_what_other_processes_open_and_close_costs_nothing(path: Path) -> None:
    read = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        " print(c.execute('SELECT count(*) FROM clicks').fetchone()[0]); c.close()"
    )
    with closing(SqliteClickLog(path)) as log:
        for count in (1, 2):
            await log.append_clicks([click()])
            command = (sys.executable, "-c", read, str(path))
            other = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            assert (await other.communicate())[0] == b"%d\n" % count


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    SqliteClickLog(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_many_clicks_stay_in_order(path: Path) -> None:
    with closing(SqliteClickLog(path)) as log:
        batches = [[click(n) for n in range(start, start + 500)] for start in (1, 501)]
        await asyncio.gather(*map(log.append_clicks, batches))
    assert rows_in(path, "id, post") == [(n, n) for n in range(1, 1001)]


async def test_posts_are_counted_by_the_quarter_of_an_hour(log: ClickLog) -> None:
    await log.append_clicks([view(5), view(5), click(5), dwell(5, 100), view(6), click(None)])
    await log.append_clicks([click(5), dwell(5, 300), click(6, DAY + QUARTER_MS)])
    first, second, both = range(96, 97), range(97, 98), range(96, 98)
    assert await log.reads_of_post(5, [first, second]) == [PostReads(5, 2, 2, 2, 400), PostReads(5)]
    assert await log.most_read_posts(both, 9) == [PostReads(5, 2, 2, 2, 400), PostReads(6, 1, 1)]
    assert await log.most_read_posts(both, 1) == [PostReads(5, 2, 2, 2, 400)]
    assert await log.most_read_posts(second, 9) == [PostReads(6, 0, 1)]


async def test_viewers_of_a_post_are_users_and_other_sessions_each_once(
    log: ClickLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_questions, "READ_AT_ONCE", 2)
    seen = [
        view(5)._replace(received_ms=DAY + ms, at_ms=at_ms, session=session, user=user)
        for ms, at_ms, session, user in (
            (0, DAY, 1, None),
            (0, DAY, 1, None),
            (1, DAY, 2, ADA),
            (7, DAY, 3, ADA),
            (QUARTER_MS, 1000, 4, None),  # told a day late
            (QUARTER_MS, DAY, 1, BOB),
        )
    ]
    await log.append_clicks([*seen, view(6), click(5)._replace(session=9)])
    assert await log.viewers_of_post(5) == Estimate(4)
    assert await log.viewers_of_post(7) == Estimate(0)
    assert await log.expire_clicks(DAY + QUARTER_MS, 99) == 6
    assert await log.viewers_of_post(5) == Estimate(2)


async def test_old_clicks_leave_in_small_steps_with_their_figures(log: ClickLog) -> None:
    await log.append_clicks([click(n, DAY) for n in range(1, 6)])
    await log.append_clicks([click(9, 2 * DAY)])
    steps = []
    while done := await log.expire_clicks(2 * DAY, 2):
        steps.append(done)
    assert steps == [2, 2, 1, 2, 2, 1]  # clicks, then figures
    assert await log.most_read_posts(range(999), 9) == [PostReads(9, 0, 1)]


async def test_clicks_that_a_wrong_clock_stamped_ahead_hold_up_none_behind_them(
    log: ClickLog,
) -> None:
    await log.append_clicks([click(n, 9 * DAY) for n in range(1, 4)])
    await log.append_clicks([click(n, DAY) for n in range(4, 9)])
    removed = []
    while done := await log.expire_clicks(2 * DAY, 3):
        removed.append(done)
    assert removed == [3, 2, 3, 2]  # clicks, then figures
    assert await log.expire_clicks(10 * DAY, 9) == 3


async def test_deleted_accounts_are_forgotten_also_in_what_comes_later(path: Path) -> None:
    with closing(SqliteClickLog(path)) as log:
        await log.append_clicks([click(1, user=ADA), click(2, user=BOB)])
        assert await log.followed_through() == 0
        await log.forget_users({ADA}, 41)
        await log.append_clicks([click(3, user=ADA), click(4, user=BOB)])
        assert await log.followed_through() == 41
        assert rows_in(path, "post, user") == [(1, None), (2, BOB), (3, None), (4, BOB)]


async def test_batches_that_wait_share_a_transaction_and_too_many_are_refused(path: Path) -> None:
    with closing(SqliteClickLog(path, most_waiting=4)) as log:
        with closing(sqlite3.connect(path)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(log.append_clicks([click(1)]))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(log.append_clicks([click(n)])) for n in (2, 3, 4)]
            await asyncio.sleep(0)
            with pytest.raises(ClicksBusy):
                await log.append_clicks([click(5)])
            assert not first.done()
        await asyncio.gather(first, *others)
        await log.append_clicks([click(6)])
    assert rows_in(path, "post") == [(1,), (2,), (3,), (4,), (6,)]


async def test_a_file_that_can_not_be_written_refuses_whole_batches(path: Path) -> None:
    with closing(SqliteClickLog(path)) as log:
        await log.append_clicks([click(1)])
        with closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE post_quarters RENAME TO gone")
        with pytest.raises(ClicksUnavailable):
            await log.append_clicks([click(2), click(3)])
        with closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE gone RENAME TO post_quarters")
        await log.append_clicks([click(4)])
    assert rows_in(path, "post") == [(1,), (4,)]
    with pytest.raises(ClicksUnavailable, match="closed"):
        await log.append_clicks([click(5)])


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(ClicksUnavailable, match=r"clicks\.sqlite: .* move it away"):
        SqliteClickLog(path)


async def test_removed_clicks_leave_no_trace_in_the_file(path: Path) -> None:
    with closing(SqliteClickLog(path)) as log:
        # Enough for whole pages to become free.
        await log.append_clicks([click(None)._replace(page=f"/secret-{n}") for n in range(500)])
        files = (path, path.with_name(f"{path.name}-wal"))
        assert b"/secret-" in files[1].read_bytes()
        with closing(sqlite3.connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM clicks").fetchone()
            while await log.expire_clicks(2 * DAY, 1000):
                pass
            assert b"/secret-" in files[1].read_bytes()
        await log.append_clicks([click(None, 3 * DAY)])
        assert await log.expire_clicks(2 * DAY, 1000) == 0
        assert all(b"/secret-" not in file.read_bytes() for file in files)


async def test_earlier_versions_kept_addresses_as_referrers_and_this_one_removes_them(
    path: Path,
) -> None:
    with closing(FileSchema(CLICKS_SCHEMA.steps[:2]).open_private(path, "")) as old:
        old.executemany(
            "INSERT INTO clicks (received, at, session, kind, referrer)"
            " VALUES (1, 1, 1, 'view', ?)",
            [("10.0.0.1",), ("2001:db8::7",), ("example.org",), (None,)],
        )
    SqliteClickLog(path).close()
    assert rows_in(path, "referrer") == [(None,), (None,), ("example.org",), (None,)]


async def test_figures_by_the_hour_of_earlier_versions_stay(path: Path) -> None:
    with closing(FileSchema(CLICKS_SCHEMA.steps[:1]).open_private(path, "")) as old:
        old.execute("INSERT INTO post_hours VALUES (5, 24, 3, 2, 1, 400)")
    with closing(SqliteClickLog(path)) as log:
        await log.append_clicks([click(5)])
        assert await log.reads_of_post(5, [range(96, 192)]) == [PostReads(5, 3, 3, 1, 400)]
