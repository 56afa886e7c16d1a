"""What is asked of `clicks.sqlite`: by API processes, and by the command line without a server."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from api.clicks.click_log import ClicksUnavailable, PostReads
from infra.sqlite.migrations import CLICKS_SCHEMA
from infra.sqlite.read_only_files import reading_address
from projections.distinct_count import DistinctCount, Estimate

QUARTER_MS: Final = 900_000
"""Of an hour."""

LATEST_MS: Final = 86_400_000
"""How long after what it tells of a click may have come."""

READ_AT_ONCE: Final = 50_000

_SUMS: Final = "sum(views), sum(clicks), sum(dwells), sum(dwell_ms)"


@contextmanager
def open_clicks_for_questions(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, to be read alone, also in a folder that can't be written; nothing where there is
    none. Raises `ClicksUnavailable`."""
    try:
        if path.exists():
            connection = sqlite3.connect(reading_address(path), uri=True)
        else:
            connection = CLICKS_SCHEMA.open_private(":memory:", "")
        with closing(connection):
            CLICKS_SCHEMA.require_current(connection)
            yield connection
    except sqlite3.Error as error:
        raise ClicksUnavailable(f"{path}: {error}") from error


class SqliteClickFigures:
    """`ClickFigures` of a file that is only read, for programs with nothing else to do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def reads_of_post(self, post: int, quarters: Sequence[range]) -> Sequence[PostReads]:
        return select_reads(self._connection, post, quarters)

    async def most_read_posts(self, quarters: range, most: int) -> Sequence[PostReads]:
        return select_most_read(self._connection, quarters, most)

    async def viewers_of_post(self, post: int) -> Estimate:
        viewers, span = DistinctCount(), span_of_views(self._connection, post)
        while span:
            page, span = select_viewers(self._connection, post, span)
            viewers.add(page)
        return viewers.estimate()


def read_clicks(connection: sqlite3.Connection) -> Iterator[Sequence[tuple[Any, ...]]]:
    """All clicks in the order in which they came, some thousands at once: number, when it was, when
    it came (Unix ms), session, user, post, page, kind, ms of a dwell, referrer."""
    cursor = connection.execute(
        "SELECT id, at, received, session, user, post, page, kind, dwell, referrer"
        " FROM clicks ORDER BY id"
    )
    while rows := cursor.fetchmany(READ_AT_ONCE):
        yield rows


def select_reads(
    connection: sqlite3.Connection, post: int, quarters: Sequence[range]
) -> list[PostReads]:
    """As `ClickLog.reads_of_post`."""
    query = (
        f"SELECT post, {_SUMS} FROM post_quarters WHERE post = ? AND quarter >= ? AND quarter < ?"
        " GROUP BY post"
    )
    found = [connection.execute(query, (post, h.start, h.stop)).fetchone() for h in quarters]
    return [PostReads(post) if row is None else PostReads(*row) for row in found]


def span_of_views(connection: sqlite3.Connection, post: int) -> range:
    """The times at which clicks came among which are all that a post was seen by. There is no index
    of posts: it would cost more than the clicks themselves."""
    first, last = connection.execute(
        "SELECT min(quarter), max(quarter) FROM post_quarters WHERE post = ? AND views > 0", (post,)
    ).fetchone()
    if first is None:
        return range(0)
    return range(first * QUARTER_MS, (last + 1) * QUARTER_MS + LATEST_MS)


def select_viewers(
    connection: sqlite3.Connection, post: int, span: range
) -> tuple[list[int], range]:
    """Who saw a post, by some of the clicks that came in a time, and the time that is left."""
    row = connection.execute(
        "SELECT received FROM clicks WHERE received >= ? ORDER BY received LIMIT 1 OFFSET ?",
        (span.start, READ_AT_ONCE),
    ).fetchone()
    middle = span.stop if row is None else min(max(row[0], span.start + 1), span.stop)
    found = connection.execute(
        "SELECT DISTINCT ifnull(user, session) FROM clicks WHERE received >= ? AND received < ?"
        " AND post = ? AND kind = 'view'",
        (span.start, middle, post),
    ).fetchall()
    return [viewer for (viewer,) in found], range(middle, span.stop)


def select_most_read(connection: sqlite3.Connection, quarters: range, most: int) -> list[PostReads]:
    """As `ClickLog.most_read_posts`."""
    rows = connection.execute(
        f"SELECT post, {_SUMS} FROM post_quarters WHERE quarter >= ? AND quarter < ? GROUP BY post"
        " ORDER BY sum(clicks) DESC, sum(views) DESC, post DESC LIMIT ?",
        (quarters.start, quarters.stop, most),
    )
    return [PostReads(*row) for row in rows]
