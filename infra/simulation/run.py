"""A whole simulation: sign the people up, generate the load, return the measurements."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from infra.simulation.http_client import SimulationClient
from infra.simulation.load_generator import FreshnessSampler, LoadGenerator
from infra.simulation.measurements import LoadMeasurements, SimulationResult
from infra.simulation.onboarding import (
    ServerUnusable,
    SignedInPerson,
    create_first_posts,
    create_follows,
    sign_up_people,
)
from infra.simulation.workload import RequestChooser, generate_arrivals
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


class ProgressReporter(Protocol):
    """Shows how far the simulation is."""

    def begin_phase(self, what: str, total: float) -> Callable[[float], None]:
        """Begin a phase; call what is returned with how much of `total` is done."""
        ...


class _StoppedBeforeLoad(Exception):
    """The simulation was stopped before the load began."""


async def run_simulation(
    plan: SimulationPlan, progress: ProgressReporter, stop: asyncio.Event
) -> SimulationResult:
    """Run the plan until it ends or `stop` is set. Raises `ServerUnusable`."""
    measurements = LoadMeasurements()
    async with SimulationClient(plan.url, plan.connections) as client:
        world = World(plan.users, plan.seed)
        try:
            load = await _run_unless_stopped(
                stop, _prepare_load(plan, client, world, measurements, progress)
            )
        except _StoppedBeforeLoad:
            return SimulationResult(measurements, 0.0, interrupted=True)
        tick = progress.begin_phase("load", plan.seconds)
        due = generate_arrivals(plan.posts_per_second, plan.seconds, plan.seed)
        seconds = await load.run(due, stop, tick)
        tick(min(seconds, plan.seconds))
        return SimulationResult(measurements, seconds, stop.is_set())


async def _prepare_load(
    plan: SimulationPlan,
    client: SimulationClient,
    world: World,
    measurements: LoadMeasurements,
    progress: ProgressReporter,
) -> LoadGenerator:
    people: list[SignedInPerson] = []
    try:
        signed = _step_counter(progress.begin_phase("people", len(world.people)))
        people = await sign_up_people(client, world, signed)
        followed = _step_counter(progress.begin_phase("follows", len(world.follows)))
        await create_follows(client, world, people, followed)
        rng = random.Random(f"choices-{plan.seed}")
        posts = await create_first_posts(client, world, people, rng)
    except* ServerUnusable as group:
        # All errors are about one server: the first is enough.
        raise _first_error(group) from None
    requests = RequestChooser(world, people, posts, rng)
    samples = random.Random(f"samples-{plan.seed}")
    freshness = FreshnessSampler(client, world, people, measurements, samples)
    return LoadGenerator(client, requests, measurements, freshness, plan.connections)


async def _run_unless_stopped(stop: asyncio.Event, work: Awaitable[T]) -> T:
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    raise _StoppedBeforeLoad


def _step_counter(report_progress: Callable[[float], None]) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        report_progress(done)

    return advance


def _first_error(group: BaseExceptionGroup[ServerUnusable]) -> ServerUnusable:
    for error in group.exceptions:
        return _first_error(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
