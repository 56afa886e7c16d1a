"""A whole simulation: move in, carry the load, give the measures."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from infra.simulation.actions import Actions
from infra.simulation.arrivals import arrivals
from infra.simulation.client import Client
from infra.simulation.freshness import Freshness
from infra.simulation.load import Load
from infra.simulation.measures import Measures
from infra.simulation.people import Inhabitant, Unwelcome, befriend, first_posts, settle
from infra.simulation.world import World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate, and where."""

    url: str
    users: int
    posts_per_second: float
    seconds: float
    seed: int
    connections: int


class Result(NamedTuple):
    """What came of it. `seconds` is how long the load lasted, 0 where it never began."""

    measures: Measures
    seconds: float
    interrupted: bool


class Progress(Protocol):
    """Shows how far it is."""

    def phase(self, what: str, total: float) -> Callable[[float], None]:
        """A new phase begins; call the answer with how much of `total` is done."""
        ...


class _Interrupted(Exception):
    """It was stopped before the load began."""


async def simulate(plan: Plan, progress: Progress, stop: asyncio.Event) -> Result:
    """Run the plan until it ends or `stop` is set. Raises `Unwelcome`."""
    measures = Measures()
    async with Client(plan.url, plan.connections) as client:
        world = World(plan.users, plan.seed)
        try:
            load = await _until(stop, _move_in(plan, client, world, measures, progress))
        except _Interrupted:
            return Result(measures, 0.0, interrupted=True)
        tick = progress.phase("load", plan.seconds)
        due = arrivals(plan.posts_per_second, plan.seconds, plan.seed)
        seconds = await load.run(due, stop, tick)
        tick(min(seconds, plan.seconds))
        return Result(measures, seconds, stop.is_set())


async def _move_in(
    plan: Plan, client: Client, world: World, measures: Measures, progress: Progress
) -> Load:
    people: list[Inhabitant] = []
    try:
        signed = _counted(progress.phase("people", len(world.people)))
        people = await settle(client, world, signed)
        followed = _counted(progress.phase("follows", len(world.follows)))
        await befriend(client, world, people, followed)
        rng = random.Random(f"choices-{plan.seed}")
        posts = await first_posts(client, world, people, rng)
    except* Unwelcome as group:
        # All of them tell of one server: the first is enough.
        raise _first(group) from None
    actions = Actions(world, people, posts, rng)
    samples = random.Random(f"samples-{plan.seed}")
    freshness = Freshness(client, world, people, measures, samples)
    return Load(client, actions, measures, freshness, plan.connections)


async def _until(stop: asyncio.Event, work: Awaitable[T]) -> T:
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    raise _Interrupted


def _counted(tell: Callable[[float], None]) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        tell(done)

    return advance


def _first(group: BaseExceptionGroup[Unwelcome]) -> Unwelcome:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
