"""Two writers project partitions of one feed at the same time into MongoDB, as fast as they can."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from events.recorded import Recorded
from infra.engines.mongodb import MongoServer
from infra.mongo import Database
from infra.views.memory import MemoryStore
from infra.views.mongo import MongoStore
from projections.followers import Followers
from projections.projection import Projection
from projections.timeline import Timeline
from streams.step import step
from tests.engines.mongo_views import database, rows
from tests.social import OFTEN, RELATIONS, SELDOM, World

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]

PARTITIONS = 4
WRITERS = 2
PROJECTIONS = [Followers(), Timeline(big_above=2)]


def some_log(seed: int, users: int, kinds: Sequence[str], most: int) -> list[Recorded]:
    random = Random(seed)
    steps = [
        (random.choice(kinds), random.randint(1, users), random.randint(1, 40), 0)
        for _ in range(most)
    ]
    return World(users=users).play(steps).log


def partition(recorded: Recorded) -> int:
    return int(recorded.stream.rpartition("-")[2]) % PARTITIONS


async def write(
    projection: Projection, store: MongoStore, feed: Sequence[Recorded], mine: set[int], seed: int
) -> None:
    """Project some partitions, in batches and turns that the seed chooses."""
    random = Random(seed)
    left = {p: [e for e in feed if partition(e) == p] for p in mine}
    positions = dict.fromkeys(mine, 0)
    while any(left.values()):
        number = random.choice([p for p in mine if left[p]])
        size = random.randint(1, 6)
        batch, left[number] = left[number][:size], left[number][size:]
        taken = [one for one in batch if type(one.event) in projection.takes]
        after, upto = positions[number], batch[-1].position
        assert await step(projection, store, taken, after, upto, partition=number)
        positions[number] = upto


async def project_at_once(
    projection: Projection, opened: Database, view: str, log: Sequence[Recorded], seed: int
) -> MongoStore:
    opening = [MongoStore.open(opened, view, projection.tables) for _ in range(WRITERS)]
    writers = await asyncio.gather(*opening)
    await writers[0].clear()
    await asyncio.gather(
        *(
            write(projection, store, log, set(range(place, PARTITIONS, WRITERS)), seed * 10 + place)
            for place, store in enumerate(writers)
        )
    )
    return writers[0]


@pytest.mark.parametrize("kinds", [RELATIONS, OFTEN + SELDOM], ids=["relations", "everything"])
@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
async def test_rows_end_the_same_when_two_writers_project_at_the_same_time(
    mongodb: MongoServer, projection: Projection, kinds: tuple[str, ...]
) -> None:
    async with database(mongodb) as opened:
        for seed in range(12):
            log = some_log(seed, users=5, kinds=kinds, most=120)
            straight = MemoryStore(projection.tables)
            taken = [one for one in log if type(one.event) in projection.takes]
            await step(projection, straight, taken, 0, len(log))
            store = await project_at_once(projection, opened, f"{projection.name}_1", log, seed)
            assert await rows(projection, store) == await rows(projection, straight), seed
