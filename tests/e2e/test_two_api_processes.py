"""Two API processes on one data folder, written to through both at the same time."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from events.schema import PostLiked, UserRegistered
from infra.log_of_record import open_log, open_text_reader
from infra.settings import Settings
from tests.support.acknowledged_writes import (
    all_events,
    check_handles,
    check_posts,
    check_relations,
)
from tests.support.retrying_client import RetryingClient
from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.starling_program import starling_environment


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[ServerProcesses]:
    async with running_processes(tmp_path, listeners=2) as running:
        await running.start_api(0)
        await running.start_api(1)
        await running.start_projector()
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


def person(
    processes: ServerProcesses, session: aiohttp.ClientSession, handle: str, listener: int
) -> RetryingClient:
    return RetryingClient(session, lambda: processes.url(listener), handle)


def everywhere(
    processes: ServerProcesses, session: aiohttp.ClientSession, handle: str
) -> RetryingClient:
    """A client whose requests go to each process in turn."""
    listeners = itertools.cycle((0, 1))
    return RetryingClient(session, lambda: processes.url(next(listeners)), handle)


async def test_a_handle_goes_to_one_of_those_who_want_it_at_once(
    processes: ServerProcesses, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    wanting = [
        person(processes, session, f"bird_{number}", listener)
        for number in range(6)
        for listener in (0, 1, 0, 1)
    ]  # fmt: skip
    for number, each in enumerate(wanting):
        each.email = f"{number}@example.org"
    answers = await asyncio.gather(*(each.register() for each in wanting))
    assert Counter(answer.status for answer in answers) == {201: 6, 409: 18}
    with open_log(Settings(data=tmp_path)) as log:
        events = all_events(log)
        check_handles(events, [each for each in wanting if each.id])
        assert sum(isinstance(each.event, UserRegistered) for each in events) == 6


async def test_a_like_asked_for_everywhere_at_once_is_one_event(
    processes: ServerProcesses, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    author = person(processes, session, "author", 0)
    await author.register()
    made = [await author.request("POST", "/v1/posts", {"text": f"post {n}"}) for n in range(20)]
    posts = [answer.body["id"] for answer in made]
    attempts = [everywhere(processes, session, f"attempt_{number}") for number in range(6)]
    for attempt in attempts:
        attempt.token = author.token
    asked = [each.request("PUT", f"/v1/posts/{post}/like") for post in posts for each in attempts]
    assert {answer.status for answer in await asyncio.gather(*asked)} <= {200, 201}
    with open_log(Settings(data=tmp_path)) as log:
        likes = Counter(
            each.event.post for each in all_events(log) if isinstance(each.event, PostLiked)
        )
    assert likes == {int(post): 1 for post in posts}


async def test_nothing_that_was_acknowledged_is_lost_or_done_twice(
    processes: ServerProcesses, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    people = [everywhere(processes, session, f"person_{number}") for number in range(6)]
    assert {(await each.register()).status for each in people} == {201}
    stop, posts = asyncio.Event(), list[int]()
    ids = [each.id for each in people]
    living = [asyncio.create_task(each.act_randomly(posts, ids, stop)) for each in people]
    await asyncio.wait(living, timeout=3)
    stop.set()
    await asyncio.gather(*living)
    settings = Settings(data=tmp_path)
    with open_log(settings) as log, open_text_reader(settings, log) as open_text:
        events = all_events(log, open_text)
    check_posts(events, people)
    check_relations(events, people)
    check_handles(events, people)
    assert sum(len(each.acknowledged_posts) for each in people) > 50


async def guess_passwords(processes: ServerProcesses, session: aiohttp.ClientSession) -> list[int]:
    """The statuses of 13 wrong passwords, sent to each process in turn."""
    await person(processes, session, "ada", 0).register()
    statuses = []
    for number in range(13):
        guess = {"handle": "ada", "password": f"guess {number}"}
        url = f"{processes.url(number % 2)}/v1/sessions"
        async with session.post(url, json=guess) as answer:
            statuses.append(answer.status)
    return statuses


async def test_wrong_passwords_are_counted_for_all_processes_together(
    processes: ServerProcesses, session: aiohttp.ClientSession
) -> None:
    assert await guess_passwords(processes, session) == [401] * 10 + [429] * 3


async def test_without_limits_wrong_passwords_are_not_counted(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_processes(tmp_path, listeners=2) as processes:
        processes.use_environment(
            starling_environment(STARLING_DATA=str(tmp_path), STARLING_LIMITS="off")
        )
        await processes.start_api(0)
        await processes.start_api(1)
        assert await guess_passwords(processes, session) == [401] * 13
    assert "rate-limits.sqlite" not in names_in(tmp_path)


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}
