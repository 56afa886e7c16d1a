"""The views of `starling sql` say what the read models say, whatever happened."""

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from events.codec import EVENT_CODEC
from events.log import EventLog
from infra.duckdb.parquet_copy import LogRows
from infra.duckdb.query_session import QuerySession
from infra.in_memory.read_store import MemoryReadStore
from projections.followers import FOLLOW_GRAPH
from projections.posts import LIKES, POSTS, RETWEETS, read_posts
from projections.profiles import PROFILES
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore
from streams.export import parquet_format
from streams.projecting.apply_batch import project_and_apply
from tests.support.random_logs import CommandStep, log_of_steps, random_steps
from tests.support.soak import amount

LAW = settings(max_examples=amount(15, 40), suppress_health_check=[HealthCheck.too_slow])


def answers(log: EventLog, *questions: str) -> list[Counter[Any]]:
    """The rows of each answer, in any order."""
    batch = parquet_format.to_record_batch(log.read_all(limit=100_000))
    table, left_out = parquet_format.to_table([batch])
    rows = LogRows([], table, log.head(), left_out)
    session = QuerySession(rows, Path(tempfile.gettempdir()))
    try:
        return [
            Counter(map(_hashable, session.execute_query(sql).fetch_rows())) for sql in questions
        ]
    finally:
        session.close()


def _hashable(row: Any) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


async def stores(log: EventLog) -> dict[str, ReadStore]:
    """Every read model of the log."""
    events = [EVENT_CODEC.decode_stored(stored) for stored in log.read_all(limit=100_000)]
    found: dict[str, ReadStore] = {}
    for projection in ALL_PROJECTIONS:
        store = found[projection.name] = MemoryReadStore(projection.tables)
        wanted = [one for one in events if type(one.event) in projection.event_types]
        await project_and_apply(projection, store, wanted, 0, log.head())
    return found


@LAW
@given(random_steps())
def test_users_posts_and_their_counts_are_those_of_the_read_models(
    steps: list[CommandStep],
) -> None:
    async def run() -> None:
        log = await log_of_steps(steps)
        read = await stores(log)
        profiles = [row for row in await read["profiles"].scan(PROFILES) if not row.deleted]
        ids = [row.post for row in await read["posts"].scan(POSTS)]
        posts = (await read_posts(read["posts"], ids)).values()
        users, found = answers(
            log,
            "SELECT user, handle, name, bio FROM users",
            "SELECT post, author, text, reply_to, hashtags, mentions, edited IS NOT NULL,"
            " likes, retweets, comments, sensitive, spoiler_text, language FROM posts",
        )
        assert users == Counter(tuple(row[:4]) for row in profiles)
        assert found == Counter(
            (
                post.post, post.author, post.text, post.reply_to,
                tuple(json.loads(post.hashtags)), tuple(json.loads(post.mentions)),
                post.edited is not None, post.likes, post.retweets, post.comments,
                bool(post.sensitive), post.spoiler_text, post.language,
            )
            for post in posts
        )  # fmt: skip

    asyncio.run(run())


@LAW
@given(random_steps())
def test_likes_retweets_and_follows_are_those_of_the_read_models(steps: list[CommandStep]) -> None:
    async def run() -> None:
        log = await log_of_steps(steps)
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
        edges = await read["followers"].scan(FOLLOW_GRAPH.edges)
        assert follows == Counter(tuple(edge) for edge in edges)

    asyncio.run(run())
