"""What is told as it happens where the views are in MongoDB: live streams and webhooks.

Both API processes tell, rebuilds tell nothing, and a process that is killed loses nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import groupby
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.settings import Settings
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.running_server import register_user, send_request
from tests.support.server_processes import Process, ServerProcesses, running_processes
from tests.support.starling_program import STARLING
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver

pytestmark = [
    pytest.mark.engines, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module"),
]  # fmt: skip


class TwoApis(NamedTuple):
    """A stack with two API processes, for all tests of this module."""

    stack: StreamingStack
    running: ServerProcesses
    apis: list[Process]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two_apis(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TwoApis]:
    data = tmp_path_factory.mktemp("live") / "data"
    settings = Settings(data=data, kafka=kafka.address, views=fresh_address(mongodb))
    stack = StreamingStack(settings, fresh_topic(2))
    ensure_topic(kafka.address, stack.topic)
    settings.make_data_folder()
    async with running_processes(settings.data, listeners=2) as running:
        running.use_environment(stack.profile_environment() | {"STARLING_WEBHOOKS_LOOPBACK": "on"})
        apis = [await running.start_api(0), await running.start_api(1)]
        with stack.running_relay(), stack.running_worker():
            yield TwoApis(stack, running, apis)


async def next_post(lines: AsyncIterator[str]) -> str:
    """The id of the next post that a stream tells of."""
    event = ""
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "data" and event == "post":
            post: str = json.loads(value)["id"]
            return post
    raise AssertionError("the stream ended")


async def create_post(url: str, token: str, text: str) -> str:
    """The id of a new post."""
    answer = await send_request(url, "POST", "/v1/posts", token, json={"text": text})
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


async def rebuild(stack: StreamingStack) -> int:
    process = await asyncio.create_subprocess_exec(
        STARLING, "projections", "rebuild", "timeline", "posts", env=stack.profile_environment()
    )
    return await process.wait()


async def test_posts_are_told_once_whatever_is_rebuilt(two_apis: TwoApis) -> None:
    stack, running, _ = two_apis
    ada = await register_user(running.url(), "ada")
    with open_log(stack.settings) as log:
        await stack.wait_until_projected(log.head())
    headers = {"Authorization": f"Bearer {ada['token']}"}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("GET", f"{running.url(0)}/v1/stream", headers=headers) as first,
        client.stream("GET", f"{running.url(1)}/v1/stream", headers=headers) as second,
    ):
        told = [stream.aiter_lines() for stream in (first, second)]
        assert [await anext(lines) for lines in told] == ["retry: 1000"] * 2
        for text in ("before", "after"):
            post = await create_post(running.url(), ada["token"], text)
            assert [await next_post(lines) for lines in told] == [post] * 2
            if text == "before":
                assert await rebuild(stack) == 0


async def test_webhooks_hear_of_all_in_order_when_the_processes_that_send_are_killed(
    two_apis: TwoApis,
) -> None:
    _, running, (first, second) = two_apis
    async with WebhookReceiver().listening() as receiver:
        bob = await register_user(running.url(), "bob")
        hook = await send_request(
            running.url(), "POST", "/v1/webhooks", bob["token"],
            json={"url": receiver.url, "types": ["post.created"]},
        )  # fmt: skip
        assert hook.status_code == 201, hook.text
        receiver.delay = 0.1
        posts = [await create_post(running.url(1), bob["token"], f"{n}") for n in range(6)]
        await wait_until(lambda: len(receiver.messages) >= 2)
        await running.kill(second)
        posts += [await create_post(running.url(0), bob["token"], f"{n}") for n in range(6)]
        receiver.delay = 2.0  # so that it is killed while an endpoint takes its time
        before = len(receiver.messages)
        await wait_until(lambda: len(receiver.messages) > before + 1)
        await running.kill(first)
        receiver.delay = 0.0
        for listener in (0, 1):
            await running.start_api(listener)
        posts += [await create_post(running.url(1), bob["token"], f"{n}") for n in range(2)]
        await wait_until(
            lambda: any(one.json["data"]["post"]["id"] == posts[-1] for one in receiver.messages)
        )
    told = [one.json["data"]["post"]["id"] for one in receiver.messages]
    assert [post for post, _ in groupby(told)] == posts
    assert len(posts) < len(told) <= len(posts) + 2  # what was under way came once more
    assert all(one.is_signed_with(hook.json()["secret"]) for one in receiver.messages)
