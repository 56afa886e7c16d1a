"""Two writers project partitions of one feed at the same time into MongoDB, as fast as they can."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from events.envelope import RecordedEvent
from events.log import LogReplaced
from infra.dev.mongodb_server import MongoServer
from infra.in_memory.read_store import MemoryReadStore
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import open_blocking_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_registry import claim_for_log
from infra.settings import MongoDriver
from projections.followers import FollowersProjection
from projections.projection import Projection
from projections.recommendations import RecommendationsProjection
from projections.timeline import TimelineProjection
from streams.projecting.apply_batch import project_and_apply
from tests.support.engines.mongodb_views import fresh_address, projection_rows, temporary_database
from tests.support.social_model import FREQUENT_KINDS, RARE_KINDS, RELATION_KINDS, SocialModel

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]

PARTITIONS = 4
WRITERS = 2
PROJECTIONS = [
    FollowersProjection(),
    TimelineProjection(fanout_limit=2),
    RecommendationsProjection(2),
]


def some_log(seed: int, users: int, kinds: Sequence[str], most: int) -> list[RecordedEvent]:
    random = Random(seed)
    steps = [
        (random.choice(kinds), random.randint(1, users), random.randint(1, 40), 0)
        for _ in range(most)
    ]
    return SocialModel(users=users).apply_steps(steps).log


def partition(recorded: RecordedEvent) -> int:
    return int(recorded.stream.rpartition("-")[2]) % PARTITIONS


async def write(
    projection: Projection,
    store: MongoReadStore,
    feed: Sequence[RecordedEvent],
    mine: set[int],
    seed: int,
) -> None:
    """Project some partitions, in batches and turns that the seed chooses."""
    random = Random(seed)
    left = {p: [e for e in feed if partition(e) == p] for p in mine}
    positions = dict.fromkeys(mine, 0)
    while any(left.values()):
        number = random.choice([p for p in mine if left[p]])
        size = random.randint(1, 6)
        batch, left[number] = left[number][:size], left[number][size:]
        taken = [one for one in batch if type(one.event) in projection.event_types]
        after, upto = positions[number], batch[-1].position
        assert (
            await project_and_apply(projection, store, taken, after, upto, partition=number)
            is not None
        )
        positions[number] = upto


async def project_at_once(
    projection: Projection,
    opened: AsyncDatabase,
    view: str,
    log: Sequence[RecordedEvent],
    seed: int,
) -> MongoReadStore:
    opening = [MongoReadStore.open(opened, view, projection.tables) for _ in range(WRITERS)]
    writers = await asyncio.gather(*opening)
    for name in await opened.list_collection_names({"name": {"$ne": "views"}}):
        await opened[name].delete_many({})  # of the seed before; making them anew takes longer
    await asyncio.gather(
        *(
            write(projection, store, log, set(range(place, PARTITIONS, WRITERS)), seed * 10 + place)
            for place, store in enumerate(writers)
        )
    )
    return writers[0]


@pytest.mark.parametrize(
    "kinds", [RELATION_KINDS, FREQUENT_KINDS + RARE_KINDS], ids=["relations", "everything"]
)
@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
async def test_rows_end_the_same_when_two_writers_project_at_the_same_time(
    mongodb: MongoServer, mongo_driver: MongoDriver, projection: Projection, kinds: tuple[str, ...]
) -> None:
    async with temporary_database(mongodb, mongo_driver) as opened:
        for seed in range(12):
            log = some_log(seed, users=5, kinds=kinds, most=120)
            straight = MemoryReadStore(projection.tables)
            taken = [one for one in log if type(one.event) in projection.event_types]
            await project_and_apply(projection, straight, taken, 0, len(log))
            store = await project_at_once(projection, opened, f"{projection.name}_1", log, seed)
            assert await projection_rows(projection, store) == await projection_rows(
                projection, straight
            ), seed


def test_a_database_is_claimed_though_another_writer_of_the_log_is_quicker(
    mongodb: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = "a" * 32
    with open_blocking_database(fresh_address(mongodb), 30) as database:
        claim = Collection.update_one

        def come_second(self: Collection[Any], *arguments: Any, **options: Any) -> None:
            """What the server does when another's insert falls between its look and its insert."""
            monkeypatch.undo()
            claim(self, *arguments, **options)
            raise DuplicateKeyError("E11000 duplicate key error")

        monkeypatch.setattr(Collection, "update_one", come_second)
        claim_for_log(database, identity)
        assert database["current"].find_one({"_id": "views"}, {"_id": 0}) == {"log": identity}
        with pytest.raises(LogReplaced, match="made from another log"):
            claim_for_log(database, "b" * 32)
