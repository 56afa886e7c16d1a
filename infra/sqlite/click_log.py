"""The log of clicks in a SQLite file of its own, `clicks.sqlite`.

One thread of each process writes: what came while it waited for the disk is its next transaction,
so batches share a flush. Several processes take turns by SQLite's own lock. The figures of posts by
the quarter of an hour are kept in the same transaction as the clicks. What is removed is
overwritten, in the file at once and in the write-ahead log when nothing more is to be removed.
"""

import asyncio
import threading
from asyncio import Future
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from api.clicks.click_log import (
    Click,
    ClicksBusy,
    ClicksUnavailable,
    LoggedClicks,
    PostReads,
)
from infra.process.file_locks import FileLock
from infra.sqlite.click_questions import (
    QUARTER_MS,
    select_most_read,
    select_reads,
    select_viewers,
    span_of_views,
)
from infra.sqlite.locked_connection import LockedConnection
from infra.sqlite.migrations import CLICKS_SCHEMA
from projections.distinct_count import DistinctCount, Estimate

CLICKS_FILE: Final = "clicks.sqlite"
"""In the data folder."""

PUBLISHER_LOCK: Final = "clicks-publisher.lock"
"""Beside it."""

MOST_WAITING: Final = 20_000
"""Clicks that one process lets wait for the disk."""

BUSY_MS: Final = 5000
CHECKPOINT_MS: Final = 300
"""How long others are held up where a process that reads is in the way."""

FORGOTTEN_AT_ONCE: Final = 1000

_PRAGMAS: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA busy_timeout = {BUSY_MS};
"""
ROWS_PER_INSERT: Final = 64
"""Of those that are written together: two thirds of what one at a time costs."""

_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT: Final = (
    "INSERT INTO clicks (received, at, session, user, post, page, kind, dwell, referrer)"
    f" VALUES {_ROW}"
)
_INSERT_MANY: Final = _INSERT + f", {_ROW}" * (ROWS_PER_INSERT - 1)
_COUNT: Final = (
    "INSERT INTO post_quarters VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " views = views + excluded.views, clicks = clicks + excluded.clicks,"
    " dwells = dwells + excluded.dwells, dwell_ms = dwell_ms + excluded.dwell_ms"
)
_KIND_PLACES: Final = {"view": 0, "click": 1, "dwell": 2}


class _WaitingBatch(NamedTuple):
    clicks: Sequence[Click]
    stored: "Future[None]"


class SqliteClickLog:
    """The `ClickLog` of one data folder, for one event loop; several processes may open it."""

    def __init__(self, path: Path | str, most_waiting: int = MOST_WAITING) -> None:
        """`:memory:` keeps it in memory. Raises `ClicksUnavailable`."""
        self._path, self._most_waiting = path, most_waiting

        def open_log() -> LockedConnection:
            return LockedConnection(path, CLICKS_SCHEMA, _PRAGMAS, ClicksUnavailable, f"{path}: ")

        try:
            self._writer = open_log()
            # What removes and what asks waits for none that write, nor they for it.
            self._other = self._writer if path == ":memory:" else open_log()
        except ClicksUnavailable as error:
            raise ClicksUnavailable(f"{error}; move it away, and the clicks begin anew") from error
        self._woken = threading.Condition()  # over the next three
        self._batches: list[_WaitingBatch] = []
        self._waiting = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        """Started with the first clicks."""
        self._publisher: FileLock | None = None
        """Held by the one process of several that publishes."""
        self._removed_in_wal = True
        """Whether the write-ahead log may hold what was removed; an earlier process's, at first."""

    async def append_clicks(self, clicks: Sequence[Click]) -> None:
        stored: Future[None] = asyncio.get_running_loop().create_future()
        with self._woken:
            if self._closed:
                raise ClicksUnavailable(f"{self._path} is closed")
            if self._waiting and self._waiting + len(clicks) > self._most_waiting:
                raise ClicksBusy(f"{self._waiting} clicks wait to be written: try again in a while")
            self._waiting += len(clicks)
            self._batches.append(_WaitingBatch(clicks, stored))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._write_until_closed, name="clicks", daemon=True
                )
                self._thread.start()
            self._woken.notify()
        await stored

    async def expire_clicks(self, before_ms: int, most: int) -> int:
        def delete_oldest() -> int:
            return self._other.db.execute(
                "DELETE FROM clicks WHERE id IN"
                " (SELECT id FROM clicks WHERE received < ? ORDER BY received LIMIT ?)",
                (before_ms, most),
            ).rowcount

        def delete_figures() -> int:
            return self._other.db.execute(
                "DELETE FROM post_quarters WHERE (post, quarter) IN"
                " (SELECT post, quarter FROM post_quarters WHERE quarter < ? LIMIT ?)",
                (before_ms // QUARTER_MS, most),
            ).rowcount

        def remove() -> int:
            removed = delete_oldest() or delete_figures()
            self._removed_in_wal = self._removed_in_wal or removed > 0
            if not removed and self._removed_in_wal:
                self._empty_wal()
            return removed

        return await self._other.run(remove)

    async def followed_through(self) -> int:
        def select() -> int:
            (position,) = self._other.db.execute("SELECT position FROM followed").fetchone()
            return int(position)

        return await self._other.run(select)

    async def forget_users(self, users: Collection[int], through: int) -> None:
        def remember() -> None:
            self._other.db.executemany(
                "INSERT OR IGNORE INTO forgotten VALUES (?)", [(user,) for user in users]
            )

        def forget_some(user: int) -> int:
            return self._other.db.execute(
                "UPDATE clicks SET user = NULL WHERE id IN"
                " (SELECT id FROM clicks WHERE user = ? LIMIT ?)",
                (user, FORGOTTEN_AT_ONCE),
            ).rowcount

        def note_position() -> None:
            self._other.db.execute("UPDATE followed SET position = ?", (through,))
            self._removed_in_wal = True
            self._empty_wal()

        await self._other.run(remember)  # first: later batches leave the name out themselves
        for user in users:
            while await self._other.run(partial(forget_some, user)):
                pass
        await self._other.run(note_position)

    def _empty_wal(self) -> None:
        """Have the write-ahead log hold nothing that was removed. A process that reads may be in
        the way: then a later call does."""
        self._other.db.execute(f"PRAGMA busy_timeout = {CHECKPOINT_MS}")
        try:
            (busy, _, _) = self._other.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._removed_in_wal = bool(busy)
        finally:
            self._other.db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    async def reads_of_post(self, post: int, quarters: Sequence[range]) -> Sequence[PostReads]:
        return await self._other.run(lambda: select_reads(self._other.db, post, quarters))

    async def most_read_posts(self, quarters: range, most: int) -> Sequence[PostReads]:
        return await self._other.run(lambda: select_most_read(self._other.db, quarters, most))

    async def unpublished_clicks(self, most: int) -> LoggedClicks | None:
        def select() -> LoggedClicks | None:
            if not self._may_publish():
                return None
            query = "SELECT log, through FROM published"
            source, after = self._other.db.execute(query).fetchone()
            rows = self._other.db.execute(
                "SELECT id, received, at, session, user, post, page, kind, dwell, referrer"
                " FROM clicks WHERE id > ? ORDER BY id LIMIT ?",
                (after, most),
            ).fetchall()
            clicks = [(number, Click(*values)) for number, *values in rows]
            return LoggedClicks(source, after, clicks[-1][0], clicks) if clicks else None

        return await self._other.run(select)

    async def note_published(self, through: int) -> None:
        def update() -> None:
            self._other.db.execute("UPDATE published SET through = ?", (through,))

        await self._other.run(update)

    def _may_publish(self) -> bool:
        if self._publisher is None and isinstance(self._path, Path):
            try:
                self._publisher = FileLock(self._path.with_name(PUBLISHER_LOCK))
            except BlockingIOError:
                return False
            except OSError as error:
                raise ClicksUnavailable(f"{error}") from error
        return True

    async def viewers_of_post(self, post: int) -> Estimate:
        viewers = DistinctCount()
        span = await self._other.run(lambda: span_of_views(self._other.db, post))
        while span:
            select = partial(select_viewers, self._other.db, post, span)
            page, span = await self._other.run(select)
            viewers.add(page)
        return viewers.estimate()

    def close(self) -> None:
        with self._woken:
            first, self._closed = not self._closed, True
            self._woken.notify()
        if first:
            if self._thread is not None:
                self._thread.join()
            self._other.close()
            self._writer.close()
            if self._publisher is not None:
                self._publisher.close()

    def _write_until_closed(self) -> None:
        while True:
            with self._woken:
                while not self._batches and not self._closed:
                    self._woken.wait()
                if not self._batches:
                    return
                batches, self._batches = self._batches, []
            clicks = [click for batch in batches for click in batch.clicks]
            error = self._write(clicks)
            with self._woken:
                self._waiting -= len(clicks)
            _resolve(batches, error)

    def _write(self, clicks: Sequence[Click]) -> Exception | None:
        """Store all of them, or none and return why."""

        def insert() -> None:
            known = self._without_forgotten(clicks)
            self._insert(known)
            self._writer.db.executemany(_COUNT, _figures_of(known))

        try:
            self._writer.transact_blocking(insert)
        except Exception as error:  # noqa: BLE001 - it is raised where the batches are awaited
            return error
        return None

    def _insert(self, clicks: Sequence[Click]) -> None:
        whole = len(clicks) - len(clicks) % ROWS_PER_INSERT
        for start in range(0, whole, ROWS_PER_INSERT):
            rows = clicks[start : start + ROWS_PER_INSERT]
            self._writer.db.execute(_INSERT_MANY, list(chain.from_iterable(rows)))
        self._writer.db.executemany(_INSERT, clicks[whole:])

    def _without_forgotten(self, clicks: Sequence[Click]) -> Sequence[Click]:
        users = {click.user for click in clicks if click.user is not None}
        find = "SELECT user FROM forgotten WHERE user = ?"
        forgotten = {user for user in users if self._writer.db.execute(find, (user,)).fetchone()}
        return (
            [click._replace(user=None) if click.user in forgotten else click for click in clicks]
            if forgotten
            else clicks
        )


def _figures_of(clicks: Sequence[Click]) -> Iterator[tuple[int, ...]]:
    """The rows to add to `post_quarters`: one for each post and quarter."""
    figures: dict[tuple[int, int], list[int]] = {}
    for click in clicks:
        if click.post is None:
            continue
        place = (click.post, click.at_ms // QUARTER_MS)
        counts = figures.get(place)
        if counts is None:
            counts = figures[place] = [0, 0, 0, 0]
        counts[_KIND_PLACES[click.kind]] += 1
        if click.dwell_ms is not None:
            counts[3] += click.dwell_ms
    return ((*place, *counts) for place, counts in figures.items())


def _resolve(batches: Sequence[_WaitingBatch], error: Exception | None) -> None:
    loop = batches[0].stored.get_loop()

    def resolve_all() -> None:
        for _, stored in batches:
            if stored.done():  # its request was cancelled meanwhile; the clicks stand
                continue
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

    try:
        loop.call_soon_threadsafe(resolve_all)
    except RuntimeError:
        if not loop.is_closed():  # in a closed loop no task waits any more
            raise
