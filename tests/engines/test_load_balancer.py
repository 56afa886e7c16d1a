"""HAProxy as shipped before two API processes: one may die, clients can't forge addresses, and live
streams go through.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from infra.dev import stack_processes
from tests.support.engines.haproxy import load_balanced
from tests.support.running_server import register_user
from tests.support.server_processes import Process, ServerProcesses, running_processes
from tests.support.starling_program import starling_environment
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

SECONDS = 90.0


class BalancedApis:
    """Two API processes behind a balancer; clients come from an address of their choice."""

    def __init__(self, url: str, running: ServerProcesses, apis: list[Process]) -> None:
        self.url = url
        self.places = [urlsplit(running.url(number)).netloc for number in (0, 1)]
        self.running = running
        self.apis = apis

    async def send_request(
        self, method: str, path: str, source: str = "127.0.0.1", **more: Any
    ) -> httpx.Response:
        """The answer, on a connection of its own."""
        # Without TLS there is nothing to verify, and to load certificates takes 20 ms.
        transport = httpx.AsyncHTTPTransport(local_address=source, verify=False)
        async with httpx.AsyncClient(
            transport=transport, base_url=self.url, timeout=PATIENCE_SECONDS
        ) as client:
            return await client.request(method, path, **more)

    async def wait_until_stable(self, status: int, text: str = "") -> httpx.Response:
        """Wait until a query is answered with this status and text, time after time.

        The text tells an API process's 503 from the balancer's own.
        """
        in_a_row, end = 0, time.monotonic() + SECONDS
        while in_a_row < 20:
            assert time.monotonic() < end, f"it never was {status} time after time"
            try:
                answer = await self.send_request("GET", "/v1/timelines/public")
            except httpx.RemoteProtocolError:  # left out in the middle of an answer: ask again
                in_a_row = 0
                continue
            matches = answer.status_code == status and text in answer.text
            in_a_row = in_a_row + 1 if matches else 0
            if not matches:
                await asyncio.sleep(0.05)  # the processes that start need the machine
        return answer


@pytest.fixture
async def balanced(tmp_path: Path) -> AsyncIterator[BalancedApis]:
    data = tmp_path / "data"
    async with running_processes(data, listeners=2) as running:
        running.use_environment(
            starling_environment(STARLING_DATA=str(data), STARLING_TRUSTED_PROXIES="127.0.0.1")
        )
        await running.start_projector()
        apis = [await running.start_api(0), await running.start_api(1)]
        first, second = (urlsplit(running.url(number)).netloc for number in (0, 1))
        async with load_balanced((first, second), tmp_path / "haproxy.log") as url:
            both = BalancedApis(url, running, apis)
            await both.wait_until_stable(200)
            yield both


async def test_either_of_two_processes_may_die_and_questions_are_still_answered(
    balanced: BalancedApis,
) -> None:
    await balanced.running.kill(balanced.apis[0])
    await balanced.wait_until_stable(200)
    await balanced.running.start_api(0)
    await balanced.running.kill(balanced.apis[1])
    await balanced.wait_until_stable(200)


async def test_without_any_api_process_clients_get_a_retry_time(
    balanced: BalancedApis,
) -> None:
    for api in balanced.apis:
        await balanced.running.kill(api)
    answer = await balanced.wait_until_stable(503)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    await balanced.running.start_api(1)
    await balanced.wait_until_stable(200)


async def test_without_views_in_any_process_commands_are_accepted_all_the_same(
    tmp_path: Path,
) -> None:
    async with running_processes(tmp_path / "data", listeners=2) as running:
        apis = [await running.start_api(0), await running.start_api(1)]
        first, second = (urlsplit(running.url(number)).netloc for number in (0, 1))
        async with load_balanced((first, second), tmp_path / "haproxy.log") as url:
            balanced = BalancedApis(url, running, apis)
            refused = await balanced.wait_until_stable(503, "the read models")
            assert refused.json()["detail"].startswith("the read models")
            account = {"handle": "ada", "name": "Ada", "email": "a@b.org", "password": "a long one"}
            assert (
                await balanced.send_request("POST", "/v1/users", json=account)
            ).status_code == 201


async def test_password_guessing_is_throttled_by_the_real_client_address(
    balanced: BalancedApis,
) -> None:
    await balanced.running.kill(balanced.apis[1])
    await balanced.wait_until_stable(200)

    async def guess(number: int, source: str) -> int:
        lie = {"X-Forwarded-For": f"10.0.0.{number}"}
        body = {"handle": "missing", "password": f"a guess {number}"}
        answer = await balanced.send_request("POST", "/v1/sessions", source, json=body, headers=lie)
        return answer.status_code

    assert [await guess(number, "127.0.0.1") for number in range(10)] == [401] * 10
    assert await guess(10, "127.0.0.1") == 429
    assert await guess(11, "127.0.0.2") == 401


async def test_live_streams_go_through_and_a_quiet_socket_is_not_cut(
    balanced: BalancedApis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = stack_processes.HAPROXY_CONFIGURATION.read_text()
    hasty = tmp_path / "hasty.cfg"
    hasty.write_text(
        shipped.replace("client  75s", "client 1s").replace("server  75s", "server 1s")
    )
    assert hasty.read_text().count(" 1s\n") == shipped.count(" 1s\n") + 2
    monkeypatch.setattr(stack_processes, "HAPROXY_CONFIGURATION", hasty)
    ada = await register_user(balanced.url, "ada")
    headers = {"Authorization": f"Bearer {ada['token']}"}
    first, second = balanced.places
    async with (
        load_balanced((first, second), tmp_path / "hasty.log") as hasty_url,
        httpx.AsyncClient(base_url=balanced.url, trust_env=False, timeout=60) as client,
        client.stream("GET", "/v1/stream", headers=headers) as events,
        connect(
            f"{hasty_url.replace('http', 'ws')}/api/v1/streaming?stream=user",
            proxy=None, subprotocols=[ada["token"]],
        ) as socket,
    ):  # fmt: skip
        lines = events.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await asyncio.sleep(2.5)  # longer than a request may be quiet there
        body = {"text": "hello"}
        answer = await client.post("/v1/posts", json=body, headers=headers)
        post = answer.json()["id"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame = json.loads(await socket.recv(decode=True))
            assert json.loads(frame["payload"])["id"] == post
            async for line in lines:
                if line.startswith("data: {"):
                    assert json.loads(line.removeprefix("data: "))["id"] == post
                    break
