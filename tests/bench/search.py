"""Searching a million posts: the index of words beside a bare table of FTS5 with the same texts.

Words of texts and queries are drawn by Zipf's law from 50,000 words: a query has one to three, and
asks for the newest 20 posts that have all. The bare table has SQLite's own tokenizer, and answers
in the calling thread. `SEARCH_POSTS` in the environment makes fewer posts.
"""

import asyncio
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from statistics import quantiles
from typing import Final

from api.search.search_index import PostFindable, UserFindable
from api.search.search_words import words_of
from infra.sqlite.search_index import SqliteSearchIndex
from projections.pages import PageRequest
from tests.bench.result import Result

POSTS: Final = int(os.environ.get("SEARCH_POSTS", "1000000"))
BATCH: Final = 5000
VOCABULARY: Final = 50_000
QUERIES: Final = 1000
PAGE: Final = PageRequest(20)

_BARE_QUERY: Final = "SELECT rowid FROM bare WHERE bare MATCH ? ORDER BY rowid DESC LIMIT 20"
_WEIGHTS: Final = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
_WORDS: Final = [f"w{rank}" for rank in range(VOCABULARY)]


def measure(runs: int) -> list[Result]:
    """Latencies of both, query by query in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        closing(SqliteSearchIndex(Path(folder, "search.sqlite"))) as index,
        closing(sqlite3.connect(Path(folder, "bare.sqlite"))) as bare,
        asyncio.Runner() as runner,
    ):
        runner.run(_fill(index, bare))
        pairs = [runner.run(_ask(index, bare, run)) for run in range(runs)]
    what = f"search of {POSTS:,} posts"
    ours = [each for each, _ in pairs]
    p95 = ("index of words, p95", [_p95_ms(each) for each in ours])
    mean = ("index of words, a query", [_mean_ms(each) for each in ours])
    bare_mean = ("bare FTS5 table, a query", [_mean_ms(each) for _, each in pairs])
    return [
        Result.from_runs(what, p95, ("50 ms", [50.0] * runs), 1, "ms", higher_is_better=False),
        Result.from_runs(what, mean, bare_mean, 0.5, "ms", higher_is_better=False),
    ]


def _texts(count: int) -> Iterator[str]:
    chance = random.Random(7)
    for _ in range(count):
        yield " ".join(chance.choices(_WORDS, cum_weights=_WEIGHTS, k=chance.randint(4, 20)))


async def _fill(index: SqliteSearchIndex, bare: sqlite3.Connection) -> None:
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("CREATE VIRTUAL TABLE bare USING fts5(text)")
    await index.restart("a log", 1)
    await index.follow([UserFindable(1, "ada", frozenset())], 0, 1)
    texts = _texts(POSTS)
    for first in range(1, POSTS + 1, BATCH):
        batch = list(zip(range(first, first + BATCH), texts, strict=False))
        posts = [PostFindable(id, 1, words_of(text), frozenset()) for id, text in batch]
        after = (await index.read_followed()).position
        assert await index.follow(posts, after, first + 1)
        with bare:
            bare.executemany("INSERT INTO bare(rowid, text) VALUES (?, ?)", batch)


async def _ask(
    index: SqliteSearchIndex, bare: sqlite3.Connection, run: int
) -> tuple[Sequence[float], Sequence[float]]:
    """Seconds of each query: ours, and the bare table's."""
    chance = random.Random(run)
    ours, bares = [], []
    for _ in range(QUERIES):
        words = chance.choices(_WORDS, cum_weights=_WEIGHTS, k=chance.randint(1, 3))
        started = time.perf_counter()
        found = await index.find_posts(words, PAGE)
        between = time.perf_counter()
        rows = bare.execute(_BARE_QUERY, (" AND ".join(words),)).fetchall()
        bares.append(time.perf_counter() - between)
        ours.append(between - started)
        assert [post for post, _ in found] == [post for (post,) in rows]
    return ours, bares


def _p95_ms(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=20)[-1] * 1000


def _mean_ms(seconds: Sequence[float]) -> float:
    return sum(seconds) / len(seconds) * 1000
