"""Moving in: everybody signs up or signs in, follows whom they follow, and a first few post."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, NamedTuple, TypeVar

from infra.simulation.client import Client, Reply
from infra.simulation.measures import NO_ANSWER
from infra.simulation.world import Person, World, text

SIGNING: Final = 4
"""Sign-ups at once: each makes the server hash a password, which is slow on purpose."""
ASKING: Final = 32
FIRST_POSTS: Final = 20

T = TypeVar("T")

Advance = Callable[[], None]
"""Called when one more is done."""


class Unwelcome(Exception):
    """The server can't be reached or doesn't do as its contract says; the message says how."""


class Inhabitant(NamedTuple):
    """A person whom the server knows."""

    id: str
    token: str


class Posted(NamedTuple):
    """A post that the simulation made; `author` is a person's number."""

    id: str
    author: int


async def settle(client: Client, world: World, advance: Advance) -> list[Inhabitant]:
    """Everybody, in their order, signed up, or signed in from an earlier run with this seed.

    Raises `Unwelcome`.
    """
    jobs = [partial(_sign_up, client, person) for person in world.people]
    return await _in_turn(jobs, SIGNING, advance)


async def befriend(
    client: Client, world: World, people: list[Inhabitant], advance: Advance
) -> None:
    """Everybody follows whom they follow in the world. Raises `Unwelcome`."""
    jobs = [
        partial(_follow, client, people[follower], people[followee])
        for follower, followee in world.follows
    ]
    await _in_turn(jobs, ASKING, advance)


async def first_posts(
    client: Client, world: World, people: list[Inhabitant], rng: random.Random
) -> list[Posted]:
    """Something to like from the first second on. Raises `Unwelcome`."""
    authors = [world.someone(rng) for _ in range(FIRST_POSTS)]
    jobs = [partial(_post, client, people, author, text(rng)) for author in authors]
    return await _in_turn(jobs, ASKING, lambda: None)


async def _sign_up(client: Client, person: Person) -> Inhabitant:
    reply = await client.ask("POST", "/v1/users", body=person._asdict())
    if reply.status == "409":  # from an earlier run
        credentials = {"handle": person.handle, "password": person.password}
        reply = await client.ask("POST", "/v1/sessions", body=credentials)
    answer = _expect(reply, f"to sign up or sign in {person.handle}")
    return Inhabitant(answer["id"], answer["token"])


async def _follow(client: Client, follower: Inhabitant, followee: Inhabitant) -> None:
    reply = await client.ask("PUT", f"/v1/users/{followee.id}/follow", follower.token)
    _expect(reply, "to follow somebody")


async def _post(client: Client, people: list[Inhabitant], author: int, words: str) -> Posted:
    reply = await client.ask("POST", "/v1/posts", people[author].token, {"text": words})
    return Posted(_expect(reply, "to post")["id"], author)


def _expect(reply: Reply, wish: str) -> dict[str, str]:
    if reply.status == NO_ANSWER:
        raise Unwelcome(f"the server did not answer the request {wish}: is it running?")
    if not reply.ok:
        body = reply.body.decode("utf-8", "replace")[:300]
        raise Unwelcome(f"the server answered {reply.status} to the request {wish}: {body}")
    answer: dict[str, str] = reply.json()
    return answer


async def _in_turn(
    jobs: Iterable[Callable[[], Awaitable[T]]], at_once: int, advance: Advance
) -> list[T]:
    """The results of jobs in their order, at most `at_once` running; the first error ends all."""
    turn = asyncio.Semaphore(at_once)

    async def one(job: Callable[[], Awaitable[T]]) -> T:
        async with turn:
            result = await job()
        advance()
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(job)) for job in jobs]
    return [task.result() for task in tasks]
