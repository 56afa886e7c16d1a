"""A whole simulation: move in, carry the load, give the measures."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from infra.simulation.arrivals import generate_arrivals
from infra.simulation.freshness_sampler import FreshnessSampler
from infra.simulation.http_client import SimulationClient
from infra.simulation.load_generator import LoadGenerator
from infra.simulation.measurements import LoadMeasurements
from infra.simulation.onboarding import (
    ServerUnusable,
    SignedInPerson,
    create_first_posts,
    create_follows,
    sign_up_everybody,
)
from infra.simulation.request_chooser import RequestChooser
from infra.simulation.world import World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What to simulate, and where."""

    url: str
    users: int
    posts_per_second: float
    seconds: float
    seed: int
    connections: int


class SimulationResult(NamedTuple):
    """What came of it. `seconds` is how long the load lasted, 0 where it never began."""

    measurements: LoadMeasurements
    seconds: float
    interrupted: bool


class ProgressReporter(Protocol):
    """Shows how far it is."""

    def begin_phase(self, what: str, total: float) -> Callable[[float], None]:
        """A new phase begins; call the answer with how much of `total` is done."""
        ...


class _StoppedBeforeLoad(Exception):
    """It was stopped before the load began."""


async def run_simulation(
    plan: SimulationPlan, progress: ProgressReporter, stop: asyncio.Event
) -> SimulationResult:
    """Run the plan until it ends or `stop` is set. Raises `ServerUnusable`."""
    measures = LoadMeasurements()
    async with SimulationClient(plan.url, plan.connections) as client:
        world = World(plan.users, plan.seed)
        try:
            load = await _run_unless_stopped(
                stop, _prepare_load(plan, client, world, measures, progress)
            )
        except _StoppedBeforeLoad:
            return SimulationResult(measures, 0.0, interrupted=True)
        tick = progress.begin_phase("load", plan.seconds)
        due = generate_arrivals(plan.posts_per_second, plan.seconds, plan.seed)
        seconds = await load.run(due, stop, tick)
        tick(min(seconds, plan.seconds))
        return SimulationResult(measures, seconds, stop.is_set())


async def _prepare_load(
    plan: SimulationPlan,
    client: SimulationClient,
    world: World,
    measures: LoadMeasurements,
    progress: ProgressReporter,
) -> LoadGenerator:
    people: list[SignedInPerson] = []
    try:
        signed = _step_counter(progress.begin_phase("people", len(world.people)))
        people = await sign_up_everybody(client, world, signed)
        followed = _step_counter(progress.begin_phase("follows", len(world.follows)))
        await create_follows(client, world, people, followed)
        rng = random.Random(f"choices-{plan.seed}")
        posts = await create_first_posts(client, world, people, rng)
    except* ServerUnusable as group:
        # All of them tell of one server: the first is enough.
        raise _first_error(group) from None
    actions = RequestChooser(world, people, posts, rng)
    samples = random.Random(f"samples-{plan.seed}")
    freshness = FreshnessSampler(client, world, people, measures, samples)
    return LoadGenerator(client, actions, measures, freshness, plan.connections)


async def _run_unless_stopped(stop: asyncio.Event, work: Awaitable[T]) -> T:
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    raise _StoppedBeforeLoad


def _step_counter(tell: Callable[[float], None]) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        tell(done)

    return advance


def _first_error(group: BaseExceptionGroup[ServerUnusable]) -> ServerUnusable:
    for error in group.exceptions:
        return _first_error(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
