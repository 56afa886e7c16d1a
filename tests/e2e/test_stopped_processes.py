"""Processes that stand still (SIGSTOP) in the middle of work: the others go on, nothing is lost."""

import asyncio
import gc
import os
import random
import signal
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from infra.log_of_record import open_log, open_text_reader
from infra.settings import Settings
from tests.support.acknowledged_writes import (
    all_events,
    check_handles,
    check_posts,
    check_relations,
)
from tests.support.retrying_client import RetryingClient
from tests.support.running_server import GREETING, wait_for_line
from tests.support.soak import amount
from tests.support.starling_program import STARLING, children_with, starling_environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(100)

TRIES = amount(2, 14)
RECOVERED_SECONDS = 30.0
"""What a stopped process may cost: 5 s until it is killed, and a machine that does much else."""


def children_of(server: asyncio.subprocess.Process, word: str) -> list[int]:
    """The ids of a server's processes with a word among their arguments."""
    return children_with(word, server.pid)


def is_replaced(server: asyncio.subprocess.Process, stopped: int) -> bool:
    apis = children_of(server, "api_process")
    return len(apis) == 2 and stopped not in apis


@asynccontextmanager
async def people_at_work(address: str) -> AsyncIterator[list[RetryingClient]]:
    """People who write for as long as the block runs; each request is answered at the end."""
    stop, posts = asyncio.Event(), list[int]()
    timeout = aiohttp.ClientTimeout(total=3)
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        people = [RetryingClient(session, lambda: address, f"person_{n}") for n in range(6)]
        for person in people:
            assert (await person.register()).status == 201
        ids = [person.id for person in people]
        living = [asyncio.create_task(p.act_randomly(posts, ids, stop)) for p in people]
        try:
            yield people
        finally:
            stop.set()
            await asyncio.gather(*living)
    # Requests to what stood still timed out, and aiohttp drops their connections unclosed.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


def written(people: list[RetryingClient]) -> int:
    return sum(len(person.acknowledged_posts) for person in people)


async def wait_for_more(people: list[RetryingClient], count: int) -> float:
    """Seconds until so many more posts are acknowledged."""
    began, before = time.monotonic(), written(people)
    await wait_until(lambda: written(people) >= before + count)
    return time.monotonic() - began


async def test_an_api_process_that_stands_still_keeps_no_other_from_writing(
    tmp_path: Path,
) -> None:
    chance = random.Random(3)
    server = await asyncio.create_subprocess_exec(
        STARLING, "serve", "--port", "0", "--workers", "2", "--data", tmp_path,
        stderr=asyncio.subprocess.PIPE, env=starling_environment(STARLING_LIMITS="off"),
    )  # fmt: skip
    try:
        address = (await wait_for_line(server, GREETING))[1]
        assert server.stderr is not None
        reading = asyncio.create_task(server.stderr.read())
        async with people_at_work(address) as people:
            for _ in range(TRIES):
                await wait_for_more(people, 10)
                await asyncio.sleep(chance.random() / 10)
                stopped = chance.choice(children_of(server, "api_process"))
                os.kill(stopped, signal.SIGSTOP)
                assert await wait_for_more(people, 20) < RECOVERED_SECONDS
                await wait_until(lambda stopped=stopped: is_replaced(server, stopped))  # type: ignore[misc]
        server.terminate()
        assert (await reading).count(b"no sign of life") == TRIES
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
    settings = Settings(data=tmp_path)
    with open_log(settings) as log, open_text_reader(settings, log) as open_text:
        events = all_events(log, open_text)
    check_posts(events, people)
    check_relations(events, people)
    check_handles(events, people)


async def test_a_projector_that_stands_still_is_replaced(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        STARLING, "serve", "--port", "0", "--data", tmp_path,
        stderr=asyncio.subprocess.PIPE, env=starling_environment(STARLING_LIMITS="off"),
    )  # fmt: skip
    try:
        address = (await wait_for_line(server, GREETING))[1]
        async with people_at_work(address) as people, aiohttp.ClientSession(address) as session:
            await wait_for_more(people, 5)
            [projector] = children_of(server, " work ")
            os.kill(projector, signal.SIGSTOP)
            await wait_for_line(server, "no sign of life")
            made = await people[0].request("POST", "/v1/posts", {"text": "after that"})
            wait = {"Starling-Position": str(made.position)}
            path = f"/v1/posts/{made.body['id']}"
            statuses = [(await session.get(path, headers=wait)).status for _ in range(10)]
            assert statuses[-1] == 200, statuses  # each waits for 2 s
    finally:
        if server.returncode is None:
            server.terminate()
        await server.communicate()
