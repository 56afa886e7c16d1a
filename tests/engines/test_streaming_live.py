"""Live streams where the views are in MongoDB: both processes tell, and rebuilds tell nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.settings import Settings
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.running_server import register_user, send_request
from tests.support.server_processes import running_processes
from tests.support.starling_program import STARLING

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


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


async def rebuild(stack: StreamingStack) -> int:
    process = await asyncio.create_subprocess_exec(
        STARLING, "projections", "rebuild", "timeline", "posts", env=stack.profile_environment()
    )
    return await process.wait()


async def test_posts_are_told_once_whatever_is_rebuilt(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "data", kafka=kafka.address, views=fresh_address(mongodb))
    stack = StreamingStack(settings, fresh_topic(2))
    ensure_topic(kafka.address, stack.topic)
    settings.make_data_folder()
    async with running_processes(settings.data, listeners=2) as running:
        running.use_environment(stack.profile_environment())
        await running.start_api(0)
        await running.start_api(1)
        with stack.running_relay(), stack.running_worker():
            ada = await register_user(running.url(), "ada")
            with open_log(settings) as log:
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
                    answer = await send_request(
                        running.url(), "POST", "/v1/posts", ada["token"], json={"text": text}
                    )
                    post = answer.json()["id"]
                    assert [await next_post(lines) for lines in told] == [post] * 2
                    if text == "before":
                        assert await rebuild(stack) == 0
