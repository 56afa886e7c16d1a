"""Timelines in MongoDB of which almost every post is by a user whom the reader hides."""

import asyncio

import pytest

from infra.dev.mongodb_server import MongoServer
from infra.mongodb.read_store import MongoReadStore
from infra.settings import MongoDriver
from projections.pages import PageRequest
from projections.timeline import (
    HASHTAG_ENTRIES,
    POST_ENTRIES,
    HashtagEntry,
    PostEntry,
)
from projections.timeline_pages import read_hashtag_timeline
from tests.support.engines.mongodb_views import temporary_database
from tests.support.store_adapters import put_changes

pytestmark = pytest.mark.engines

SHOWN, HIDDEN = 7, 8
POSTS = 30_000
PAGE_SECONDS = 2.0
"""How long a page may take on a machine that does other things; one row a page took 38 s."""


async def test_a_page_of_one_post_among_thirty_thousand_hidden_ones_takes_bounded_time(
    mongodb: MongoServer, mongo_driver: MongoDriver
) -> None:
    posts = [PostEntry(1, SHOWN), *(PostEntry(id, HIDDEN) for id in range(2, POSTS + 2))]
    tags = [HashtagEntry(row.post, "cats") for row in posts]
    async with temporary_database(mongodb, mongo_driver) as opened:
        store = await MongoReadStore.open(opened, "timeline_1", (POST_ENTRIES, HASHTAG_ENTRIES))
        await store.apply(put_changes(POST_ENTRIES, posts), 0, 1)
        await store.apply(put_changes(HASHTAG_ENTRIES, tags), 1, 2)
        request = PageRequest(limit=1)
        while True:
            async with asyncio.timeout(PAGE_SECONDS):
                page = await read_hashtag_timeline(store, "cats", request, {HIDDEN})
            if page.scanned_to is None:
                break
            request = PageRequest(limit=1, max_id=page.scanned_to)
        assert [entry.post for entry in page] == [1]
