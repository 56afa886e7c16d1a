"""Webhooks of a server whose API process is killed in the middle of sending."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.server_processes import running_processes
from tests.support.starling_program import starling_environment
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver

POSTS = 20


@asynccontextmanager
async def signed_up(url: str, handle: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a new account."""
    account = {
        "handle": handle, "name": handle, "email": f"{handle}@a.org", "password": "correct horse",
    }  # fmt: skip
    patience = aiohttp.ClientTimeout(60)
    async with aiohttp.ClientSession(url, timeout=patience) as session:
        async with session.post("/v1/users", json=account) as answer:
            assert answer.status == 201, await answer.text()
            session.headers["Authorization"] = f"Bearer {(await answer.json())['token']}"
        yield session


async def send(session: aiohttp.ClientSession, path: str, **body: Any) -> Any:
    async with session.post(path, json=body) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json()


async def test_no_event_is_lost_and_the_order_is_kept_when_the_process_that_sends_is_killed(
    tmp_path: Path,
) -> None:
    async with WebhookReceiver().listening() as receiver, running_processes(tmp_path) as running:
        environment = starling_environment(
            STARLING_DATA=str(tmp_path), STARLING_WEBHOOKS_LOOPBACK="on"
        )
        running.use_environment(environment)
        api = await running.start_api()
        await running.start_projector()
        async with signed_up(running.url(), "ada") as ada:
            receiver.delay = 0.03
            hook = await send(ada, "/v1/webhooks", url=receiver.url, types=["post.created"])
            posts = [(await send(ada, "/v1/posts", text=f"{n}"))["id"] for n in range(POSTS // 2)]
            await wait_until(lambda: len(receiver.messages) >= 3)
            receiver.delay = 1.0  # so that it is killed while an endpoint takes its time
            before = len(receiver.messages)
            await wait_until(lambda: len(receiver.messages) > before)
            await running.kill(api)
            receiver.delay = 0.0
        api = await running.start_api()
        async with aiohttp.ClientSession(running.url(), headers=ada.headers) as again:
            posts += [(await send(again, "/v1/posts", text="x"))["id"] for _ in range(POSTS // 2)]
            await wait_until(
                lambda: any(m.json["data"]["post"]["id"] == posts[-1] for m in receiver.messages)
            )
            figures = await (await again.get("/metrics")).text()
    told = [message.json["data"]["post"]["id"] for message in receiver.messages]
    assert [post for post, _ in groupby(told)] == posts
    assert len(posts) < len(told) <= len(posts) + 2  # what was under way came once more
    assert 'starling_webhook_deliveries_total{outcome="delivered"}' in figures
    assert "starling_webhook_deliveries_waiting " in figures
    assert all(message.is_signed_with(hook["secret"]) for message in receiver.messages)
