"""Before the load: all people sign up or sign in, follow one another, and a first few post."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, NamedTuple, TypeVar

from infra.simulation.http_client import NO_ANSWER, ServerReply, SimulationClient
from infra.simulation.world import Person, World, random_post_text

MAX_CONCURRENT_SIGN_UPS: Final = 4
"""Sign-ups at once: each makes the server hash a password, which is slow on purpose."""
MAX_CONCURRENT_REQUESTS: Final = 32
FIRST_POST_COUNT: Final = 20

T = TypeVar("T")

Advance = Callable[[], None]
"""Called when one more is done."""


class ServerUnusable(Exception):
    """The server can't be reached or doesn't do as its contract says; the message says how."""


class SignedInPerson(NamedTuple):
    """A person's account on the server."""

    id: str
    token: str


class CreatedPost(NamedTuple):
    """A post that the simulation made; `author` is a person's number."""

    id: str
    author: int


async def sign_up_people(
    client: SimulationClient, world: World, advance: Advance
) -> list[SignedInPerson]:
    """The people in their order, signed up now, or signed in from an earlier run with this seed.

    Raises `ServerUnusable`.
    """
    jobs = [partial(_sign_up, client, person) for person in world.people]
    return await _run_bounded(jobs, MAX_CONCURRENT_SIGN_UPS, advance)


async def create_follows(
    client: SimulationClient, world: World, people: list[SignedInPerson], advance: Advance
) -> None:
    """Make the follow graph of the world. Raises `ServerUnusable`."""
    jobs = [
        partial(_follow_person, client, people[follower], people[followee])
        for follower, followee in world.follows
    ]
    await _run_bounded(jobs, MAX_CONCURRENT_REQUESTS, advance)


async def create_first_posts(
    client: SimulationClient, world: World, people: list[SignedInPerson], rng: random.Random
) -> list[CreatedPost]:
    """Posts to react to from the first second on. Raises `ServerUnusable`."""
    authors = [world.pick_by_popularity(rng) for _ in range(FIRST_POST_COUNT)]
    jobs = [
        partial(_create_post, client, people, author, random_post_text(rng)) for author in authors
    ]
    return await _run_bounded(jobs, MAX_CONCURRENT_REQUESTS, lambda: None)


async def _sign_up(client: SimulationClient, person: Person) -> SignedInPerson:
    reply = await client.send_request("POST", "/v1/users", body=person._asdict())
    if reply.status == "409":  # from an earlier run
        credentials = {"handle": person.handle, "password": person.password}
        reply = await client.send_request("POST", "/v1/sessions", body=credentials)
    account = _expect_success(reply, f"to sign up or sign in {person.handle}")
    return SignedInPerson(account["id"], account["token"])


async def _follow_person(
    client: SimulationClient, follower: SignedInPerson, followee: SignedInPerson
) -> None:
    reply = await client.send_request("PUT", f"/v1/users/{followee.id}/follow", follower.token)
    _expect_success(reply, "to follow")


async def _create_post(
    client: SimulationClient, people: list[SignedInPerson], author: int, text: str
) -> CreatedPost:
    reply = await client.send_request("POST", "/v1/posts", people[author].token, {"text": text})
    return CreatedPost(_expect_success(reply, "to post")["id"], author)


def _expect_success(reply: ServerReply, purpose: str) -> dict[str, str]:
    if reply.status == NO_ANSWER:
        raise ServerUnusable(f"the server did not answer the request {purpose}: is it running?")
    if not reply.ok:
        body = reply.body.decode("utf-8", "replace")[:300]
        raise ServerUnusable(f"the server answered {reply.status} to the request {purpose}: {body}")
    answer: dict[str, str] = reply.json()
    return answer


async def _run_bounded(
    jobs: Iterable[Callable[[], Awaitable[T]]], limit: int, advance: Advance
) -> list[T]:
    """The results of jobs in their order, at most `limit` running; the first error ends all."""
    slots = asyncio.Semaphore(limit)

    async def run_job(job: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            result = await job()
        advance()
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_job(job)) for job in jobs]
    return [task.result() for task in tasks]
