"""The views of `starling sql` say what the read models say, whatever happened."""

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from events.codec import CODEC
from events.log import EventLog
from infra.analytics.copy import Rows
from infra.analytics.session import Session
from infra.views.memory import MemoryStore
from projections.catalog import CATALOG
from projections.followers import EDGES
from projections.post_rows import LIKES, POSTS, RETWEETS
from projections.posts import by_ids
from projections.profiles import PROFILES
from projections.store import ReadStore
from streams.formats import parquet
from streams.step import step
from tests.laws.logs import Step, played, steps

LAW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def answers(log: EventLog, *questions: str) -> list[Counter[Any]]:
    """The rows of each answer, in any order."""
    rows = Rows([], parquet.table([parquet.rows(log.read_all(limit=100_000))]), log.head())
    session = Session(rows, Path(tempfile.gettempdir()))
    try:
        return [Counter(map(_hashable, session.ask(sql).rows())) for sql in questions]
    finally:
        session.close()


def _hashable(row: Any) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


async def stores(log: EventLog) -> dict[str, ReadStore]:
    """Every read model of the log."""
    events = [CODEC.recorded(stored) for stored in log.read_all(limit=100_000)]
    found: dict[str, ReadStore] = {}
    for projection in CATALOG:
        store = found[projection.name] = MemoryStore(projection.tables)
        taken = [one for one in events if type(one.event) in projection.takes]
        await step(projection, store, taken, 0, log.head())
    return found


@LAW
@given(steps())
def test_users_posts_and_their_counts_are_those_of_the_read_models(taken: list[Step]) -> None:
    async def run() -> None:
        log = await played(taken)
        read = await stores(log)
        profiles = [row for row in await read["profiles"].scan(PROFILES) if not row.deleted]
        ids = [row.post for row in await read["posts"].scan(POSTS)]
        posts = (await by_ids(read["posts"], ids)).values()
        users, found = answers(
            log,
            "SELECT user, handle, name, bio FROM users",
            "SELECT post, author, text, reply_to, hashtags, mentions, edited IS NOT NULL,"
            " likes, retweets, comments FROM posts",
        )
        assert users == Counter(tuple(row[:4]) for row in profiles)
        assert found == Counter(
            (
                post.post, post.author, post.text, post.reply_to,
                tuple(json.loads(post.hashtags)), tuple(json.loads(post.mentions)),
                post.edited is not None, post.likes, post.retweets, post.comments,
            )
            for post in posts
        )  # fmt: skip

    asyncio.run(run())


@LAW
@given(steps())
def test_likes_retweets_and_follows_are_those_of_the_read_models(taken: list[Step]) -> None:
    async def run() -> None:
        log = await played(taken)
        read = await stores(log)
        alive = {row.post for row in await read["posts"].scan(POSTS) if not row.deleted}
        likes, retweets, follows = answers(
            log,
            "SELECT user, post, id FROM likes",
            "SELECT user, post, id FROM retweets",
            "SELECT followee, follower, id FROM follows",
        )
        for found, table in ((likes, LIKES), (retweets, RETWEETS)):
            marks = await read["posts"].scan(table)
            assert found == Counter(tuple(mark) for mark in marks if mark.post in alive)
        edges = await read["followers"].scan(EDGES.alive)
        assert follows == Counter(tuple(edge) for edge in edges)

    asyncio.run(run())
