"""MongoDB and the embedded stores hold the same rows and give the same answers."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from events.log import LOG_START, EventLog
from events.schema import PostCreated, UserDeleted, UserRegistered
from infra.dev.demo_world import import_demo_world
from infra.dev.mongodb_server import MongoServer
from infra.in_memory.read_store import MemoryReadStore
from infra.log_of_record import open_log
from infra.mongodb.connection import READ_SECONDS, open_database
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.streaming.worker import open_log_runner
from infra.streaming.worker_views import open_stores
from infra.wiring.signing_secret import signing_secret
from projections.store import ReadStore
from streams.projecting.apply_batch import project_and_apply
from tests.support.acknowledged_writes import all_events
from tests.support.engines.mongodb_views import fresh_address, projection_rows, temporary_database
from tests.support.fresh_projection import all_rows, fresh_views
from tests.support.random_logs import COMMANDS, DELAYS_MS, FREQUENT_COMMANDS, events_of_steps
from tests.support.running_server import running_server
from tests.support.signed_tokens import SignedTokenIssuer
from tests.support.soak import WHOLE, amount
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@asynccontextmanager
async def projected(settings: Settings, log: EventLog) -> AsyncIterator[Mapping[str, ReadStore]]:
    """The views of everything in the log, in the database that the settings name."""
    async with open_log_runner(settings, log) as runner:
        await runner.start()
        await runner.catch_up()
    async with open_database(settings.views, READ_SECONDS) as opened:
        yield {projection.name: store for projection, store in await open_stores(opened, 1)}


async def test_the_demo_world_has_the_same_rows(mongodb: MongoServer, tmp_path: Path) -> None:
    embedded = Settings(data=tmp_path / "data")
    assert await import_demo_world(embedded)
    with open_log(embedded) as log:
        settings = Settings(data=embedded.data, views=fresh_address(mongodb))
        async with projected(settings, log) as far, fresh_views(log, tmp_path) as near:
            expected = await all_rows(near)
            assert sum(map(len, expected.values())) > 1000
            assert await all_rows(far) == expected


@pytest.mark.parametrize("seed", range(amount(2, 6)))
async def test_random_logs_have_the_same_rows(mongodb: MongoServer, seed: int) -> None:
    random = Random(seed)
    names = [*FREQUENT_COMMANDS, *COMMANDS]
    log = await events_of_steps(
        [
            (
                random.choice(names),
                random.randrange(5),
                random.randrange(31),
                random.choice(DELAYS_MS),
            )
            for _ in range(150)
        ]
    )
    async with temporary_database(mongodb) as opened:
        for projection, store in await open_stores(opened, 1):
            taken = [one for one in log if type(one.event) in projection.event_types]
            near = MemoryReadStore(projection.tables)
            await project_and_apply(projection, near, taken, LOG_START, log[-1].position)
            count, start = 0, LOG_START
            while count < len(log):
                count = min(len(log), count + random.randint(1, 40))
                end = log[count - 1].position
                batch = [one for one in taken if start < one.position <= end]
                await project_and_apply(projection, store, batch, start, end)
                start = end
            assert await projection_rows(projection, store) == await projection_rows(
                projection, near
            ), projection.name


def questions(log: EventLog) -> list[tuple[str, int]]:
    """Addresses to ask, and who asks."""
    events = all_events(log)
    users = [one.event.user for one in events if isinstance(one.event, UserRegistered)]
    deleted = {one.event.user for one in events if isinstance(one.event, UserDeleted)}
    readers = [user for user in users if user not in deleted]
    posts = [one.event for one in events if isinstance(one.event, PostCreated)]
    tags = sorted({tag for post in posts for tag in post.hashtags})
    asked: list[tuple[str, int]] = []
    for user in readers:
        asked += [(f"/v1/timelines/home?limit={limit}", user) for limit in (5, 40)]
    for place, user in enumerate(users):
        asked += [(f"/v1/users/{user}{of}", readers[(place + 1) % 7]) for of in ("", "/posts")]
        asked += [(f"/v1/users/{user}{of}?limit=80", 0) for of in ("/followers", "/following")]
    for post in Random(1).sample(posts, min(60, len(posts))):
        about = f"/v1/posts/{post.post}"
        asked += [(f"{about}{of}", readers[0]) for of in ("", "/comments", "/likes", "/retweets")]
        asked += [(f"/v1/timelines/home?max_id={post.post}", readers[post.post % len(readers)])]
        asked += [(f"/v1/timelines/home?min_id={post.post}", readers[post.post % len(readers)])]
    asked += [(f"/v1/hashtags/{tag}/posts?limit=40", readers[1]) for tag in tags]
    times = ("2026-01-01T00:00:00Z", str(posts[len(posts) // 2].post))
    asked += [(f"/v1/trends?at={time}&limit=20", readers[0]) for time in times]
    asked += [(f"/v1/users/{users[0]}?at={times[1]}", readers[1])]
    return [*asked, ("/v1/timelines/public?limit=40", 0), ("/v1/timelines/public", readers[2])]


async def answers(
    server: str, asked: list[tuple[str, int]], tokens: SignedTokenIssuer, position: int
) -> dict[tuple[str, int], Any]:
    found = {}
    async with httpx.AsyncClient(
        base_url=server, trust_env=False, timeout=PATIENCE_SECONDS
    ) as client:
        for path, user in asked:
            headers = {"Starling-Position": str(position)}
            if user:
                headers["Authorization"] = f"Bearer {tokens.issue(user)}"
            answer = await client.get(path, headers=headers)
            assert answer.status_code in (200, 404), (server, path, answer.text)
            links = answer.headers.get("link", "").replace(server, "")
            found[path, user] = (answer.status_code, links, json.loads(answer.content))
    return found


@pytest.mark.skipif(
    not WHOLE, reason="the demo world is compared over Kafka, too, in test_profiles_agree.py"
)
async def test_every_answer_about_the_demo_world_is_the_same(
    mongodb: MongoServer, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "data")
    assert await import_demo_world(settings)
    with open_log(settings) as log:
        asked, position = questions(log), log.head()
    tokens = SignedTokenIssuer(signing_secret(settings), clock_ms)
    found = []
    for views in ("sqlite", fresh_address(mongodb)):
        with ExitStack() as stack:
            server = stack.enter_context(running_server(settings.data, STARLING_VIEWS=views))
            found.append(await answers(server, asked, tokens, position))
    assert len(asked) > 200
    assert found[0] == found[1]
