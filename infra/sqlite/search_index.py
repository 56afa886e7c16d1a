"""The index of words in a SQLite file of its own, `search.sqlite`, with FTS5.

FTS5 gets words that are folded and sorted already, with spaces between them, and only splits them
again. Reads have a connection of their own in WAL mode, so they don't wait for the follower. Words
are personal: what is deleted is overwritten, in FTS5 where this SQLite can (3.42), and otherwise by
`scrub`, which rewrites its segments.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from api.search.search_index import (
    FollowedLog,
    FoundPost,
    PostFindable,
    PostGone,
    PostReworded,
    SearchChange,
    SearchUnavailable,
    TagUses,
    UserFindable,
    UserGone,
    UserRenamed,
)
from infra.sqlite.locked_connection import LockedConnection
from infra.sqlite.migrations import SEARCH_SCHEMA
from projections.pages import PageRequest

SEARCH_FILE: Final = "search.sqlite"

MERGED_PAGES: Final = 500
"""Pages of FTS5 that one transaction of `scrub` merges: some milliseconds."""

_OVERWRITES_WORDS: Final = sqlite3.sqlite_version_info >= (3, 42)
_WORD_TABLES: Final = ("post_words", "user_words")
_SELECT_POSTS: Final = (
    # CROSS JOIN: FTS5 first, in the order of its rows.
    "SELECT post, author FROM post_words CROSS JOIN posts ON post = post_words.rowid"
    " WHERE post_words MATCH ?"
)
_LAST_CHARACTER: Final = "\U0010ffff"
_PRAGMAS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
PRAGMA busy_timeout = 5000;
PRAGMA cache_size = -32000;
"""


class SqliteSearchIndex:
    """The `SearchIndex` of one data folder; several processes may open the same file."""

    def __init__(self, path: Path | str) -> None:
        """Raises `SearchUnavailable`."""
        self._readers = ThreadPoolExecutor(1, "search")

        def open_index() -> LockedConnection:
            return LockedConnection(
                path, SEARCH_SCHEMA, _PRAGMAS, SearchUnavailable, "the index of words: "
            )

        try:
            self._writing = open_index()
            self._reading = self._writing if path == ":memory:" else open_index()
            self._db = self._writing.db
            for table in _WORD_TABLES if _OVERWRITES_WORDS else ():
                overwrite = f"INSERT INTO {table}({table}, rank) VALUES('secure-delete', 1)"
                self._writing.run_blocking(partial(self._db.execute, overwrite))
        except SearchUnavailable as error:
            raise SearchUnavailable(
                f"{error}; where it is damaged, remove it: it is made again from the log"
            ) from error

    async def read_followed(self) -> FollowedLog:
        return await self._writing.run(self._followed)

    async def restart(self, log: str, tokenizer: int) -> None:
        def empty_all() -> None:
            if self._followed() == FollowedLog(log, tokenizer, 0):
                return
            for table in _WORD_TABLES:
                self._db.execute(f"INSERT INTO {table}({table}) VALUES('delete-all')")
            for table in ("posts", "users", "tags"):
                self._db.execute(f"DELETE FROM {table}")
            self._db.execute(
                "UPDATE followed SET log = ?, tokenizer = ?, position = 0", (log, tokenizer)
            )

        await self._writing.transact(empty_all, erases=True)

    async def follow(self, changes: Sequence[SearchChange], after: int, through: int) -> bool:
        def apply_all() -> bool:
            if self._followed().position != after:
                return False
            tags = Counter[str]()
            for change in changes:
                self._apply(change, tags)
            self._count_tags(tags)
            self._db.execute("UPDATE followed SET position = ?", (through,))
            return True

        erases = any(not isinstance(change, PostFindable | UserFindable) for change in changes)
        return await self._writing.transact(apply_all, erases=erases)

    async def find_posts(self, words: Sequence[str], request: PageRequest) -> Sequence[FoundPost]:
        matches = " AND ".join(f'"{word}"' for word in words)
        rows = await self._read(*_page_query(_SELECT_POSTS, "post_words.rowid", request, matches))
        return sorted(map(FoundPost._make, rows), reverse=True)

    async def find_users(self, words: Sequence[str], request: PageRequest) -> Sequence[int]:
        matches = " AND ".join(f'"{word}"*' if len(word) > 1 else f'"{word}"' for word in words)
        rows = await self._read(
            *_page_query(
                "SELECT rowid FROM user_words WHERE user_words MATCH ?", "rowid", request, matches
            )
        )
        return sorted((user for (user,) in rows), reverse=True)

    async def complete_handle(self, prefix: str, limit: int) -> Sequence[int]:
        rows = await self._read(
            "SELECT user FROM users WHERE handle >= ? AND handle < ? ORDER BY handle LIMIT ?",
            (prefix, prefix + _LAST_CHARACTER, limit),
        )
        return [user for (user,) in rows]

    async def find_hashtags(self, prefix: str, limit: int) -> Sequence[TagUses]:
        rows = await self._read(
            "SELECT tag, posts FROM tags WHERE tag >= ? AND tag < ?"
            " ORDER BY posts DESC, tag LIMIT ?",
            (prefix, prefix + _LAST_CHARACTER, limit),
        )
        return [TagUses(*row) for row in rows]

    async def scrub(self) -> None:
        def merge_some(table: str) -> bool:
            before = self._db.total_changes
            self._db.execute(
                f"INSERT INTO {table}({table}, rank) VALUES('merge', ?)", (-MERGED_PAGES,)
            )
            # As SQLite's documentation has it: fewer than two changes were no merge.
            return self._db.total_changes - before >= 2

        if _OVERWRITES_WORDS or not await self._writing.run(self._has_scraps):
            return
        for table in _WORD_TABLES:
            while await self._writing.transact(partial(merge_some, table)):
                pass
        await self._writing.transact(
            lambda: self._db.execute("UPDATE followed SET scraps = 0"), erases=True
        )

    def close(self) -> None:
        self._readers.shutdown(cancel_futures=True)
        self._writing.close()
        self._reading.close()

    def _apply(self, change: SearchChange, tags: Counter[str]) -> None:
        match change:
            case PostFindable(post, author, words, its_tags):
                if self._db.execute("SELECT 1 FROM users WHERE user = ?", (author,)).fetchone():
                    self._put_post(post, author, words, its_tags)
                    tags.update(its_tags)
            case PostReworded(post, words, its_tags):
                its_author = self._drop_post(post, tags)
                if its_author is not None:
                    self._put_post(post, its_author, words, its_tags)
                    tags.update(its_tags)
            case PostGone(post):
                self._drop_post(post, tags)
            case UserFindable(user, handle, words):
                self._put_user(user, handle, words)
            case UserRenamed(user, words):
                its_handle = self._drop_user(user)
                if its_handle is not None:
                    self._put_user(user, its_handle, words)
            case UserGone(user):
                self._drop_user(user)
                rows = self._db.execute("SELECT post FROM posts WHERE author = ?", (user,))
                for (post,) in rows.fetchall():
                    self._drop_post(post, tags)

    def _put_post(
        self, post: int, author: int, words: frozenset[str], tags: frozenset[str]
    ) -> None:
        text = " ".join(sorted(words))
        row = (post, author, text, " ".join(sorted(tags)))
        self._db.execute("INSERT INTO posts VALUES (?, ?, ?, ?)", row)
        self._db.execute("INSERT INTO post_words(rowid, words) VALUES (?, ?)", (post, text))

    def _drop_post(self, post: int, tags: Counter[str]) -> int | None:
        """Its author; None where there is no such post."""
        row = self._db.execute(
            "DELETE FROM posts WHERE post = ? RETURNING author, words, tags", (post,)
        ).fetchone()
        if row is None:
            return None
        author, text, its_tags = row
        self._forget_words("post_words", post, text)
        tags.subtract(its_tags.split())
        return int(author)

    def _put_user(self, user: int, handle: str, words: frozenset[str]) -> None:
        text = " ".join(sorted(words | {handle}))
        self._db.execute("INSERT INTO users VALUES (?, ?, ?)", (user, handle, text))
        self._db.execute("INSERT INTO user_words(rowid, words) VALUES (?, ?)", (user, text))

    def _drop_user(self, user: int) -> str | None:
        """Its handle; None where there is no such account."""
        row = self._db.execute(
            "DELETE FROM users WHERE user = ? RETURNING handle, words", (user,)
        ).fetchone()
        if row is None:
            return None
        self._forget_words("user_words", user, row[1])
        return str(row[0])

    def _forget_words(self, table: str, id: int, text: str) -> None:
        self._db.execute(
            f"INSERT INTO {table}({table}, rowid, words) VALUES('delete', ?, ?)", (id, text)
        )
        self._db.execute("UPDATE followed SET scraps = 1")

    def _count_tags(self, tags: Counter[str]) -> None:
        for tag, change in tags.items():
            if change:
                self._db.execute(
                    "INSERT INTO tags VALUES (?, ?)"
                    " ON CONFLICT (tag) DO UPDATE SET posts = posts + excluded.posts",
                    (tag, change),
                )
        if any(change < 0 for change in tags.values()):
            self._db.executemany(
                "DELETE FROM tags WHERE tag = ? AND posts <= 0", [(t,) for t in tags]
            )

    def _followed(self) -> FollowedLog:
        return FollowedLog(
            *self._db.execute("SELECT log, tokenizer, position FROM followed").fetchone()
        )

    def _has_scraps(self) -> bool:
        return bool(self._db.execute("SELECT scraps FROM followed").fetchone()[0])

    async def _read(self, query: str, values: Sequence[object]) -> list[Any]:
        def select() -> list[Any]:
            return self._reading.db.execute(query, values).fetchall()

        # In a thread of their own: many that wait take none of those that others need.
        loop, run_blocking = asyncio.get_running_loop(), self._reading.run_blocking
        try:
            return await loop.run_in_executor(self._readers, run_blocking, select)
        except RuntimeError as error:
            raise SearchUnavailable(f"the index of words: {error}") from error


def _page_query(
    select: str, id: str, request: PageRequest, matches: str
) -> tuple[str, list[object]]:
    """A query for a page of ids with its values, from the end that the request counts from."""
    values: list[object] = [matches]
    for bound, comparison in ((request.lower_bound, ">"), (request.max_id, "<")):
        if bound is not None:
            select += f" AND {id} {comparison} ?"
            values.append(bound)
    order = "ASC" if request.counts_from_oldest else "DESC"
    return f"{select} ORDER BY {id} {order} LIMIT ?", [*values, request.limit]
