"""A simulation against a feed in this process."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from infra.simulation.http_client import NO_ANSWER
from infra.simulation.measurements import SimulationResult, report_as_json
from infra.simulation.onboarding import ServerUnusable
from infra.simulation.run import SimulationPlan, run_simulation
from infra.simulation.workload import OperationKind
from infra.simulation.world import World
from tests.support.fake_api import FakeApi


class Phases:
    """Notes the phases, and can do something when one begins."""

    def __init__(self, at: dict[str, Callable[[], None]] | None = None) -> None:
        self.seen: list[str] = []
        self._at = at or {}

    def begin_phase(self, what: str, total: float) -> Callable[[float], None]:
        self.seen.append(what)
        self._at.get(what, lambda: None)()
        return lambda done: None


def plan(url: str, seconds: float = 1.0, connections: int = 64, rate: float = 20) -> SimulationPlan:
    return SimulationPlan(url, 12, rate, seconds, seed=7, connections=connections)


async def run(feed: FakeApi, **changes: float) -> SimulationResult:
    async with feed.serving() as url:
        return await run_simulation(plan(url, **changes), Phases(), asyncio.Event())  # type: ignore[arg-type]


async def test_every_operation_is_done_and_measured() -> None:
    feed = FakeApi()
    result = await run(feed)
    rows = {row.operation: row for row in result.measurements.summarize_operations(result.seconds)}
    assert all(row.done > 0 and row.failed == 0 for row in rows.values())
    assert not result.measurements.has_failures
    assert not result.interrupted
    asked = Counter(feed.requests)
    signed_up = asked["POST", "/v1/users"]
    assert signed_up == 12
    posted = asked["POST", "/v1/posts"]
    assert rows[OperationKind.POST].done == posted - 20  # the first posts are not part of the load


async def test_the_world_is_built_before_the_load() -> None:
    feed = FakeApi()
    async with feed.serving() as url:
        phases = Phases()
        await run_simulation(plan(url, seconds=0.1), phases, asyncio.Event())
    world = World(12, seed=7)
    handles = [person.handle for person in world.people]
    assert phases.seen == ["people", "follows", "load"]
    assert {(handles[a], handles[b]) for a, b in world.follows} <= feed.follows


async def test_a_second_run_with_the_seed_signs_the_same_people_in() -> None:
    feed = FakeApi()
    async with feed.serving() as url:
        await run_simulation(plan(url, seconds=0.1), Phases(), asyncio.Event())
        people = dict(feed.passwords)
        again = await run_simulation(plan(url, seconds=0.1), Phases(), asyncio.Event())
    assert feed.passwords == people
    assert not again.measurements.has_failures


async def test_a_latency_counts_from_when_the_operation_was_due() -> None:
    # One connection and 20 ms an answer: 50 a second can be done, three times as many are due.
    result = await run(FakeApi(delay=0.02), seconds=0.5, connections=1, rate=10)
    slowest = max(
        row.latency.max
        for row in result.measurements.summarize_operations(result.seconds)
        if row.latency
    )
    assert slowest > 500  # an answer alone takes 20 ms, the queue for it much longer


async def test_errors_are_reported_by_operation_and_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.simulation.load_generator.WATCH_TIMEOUT", 0.2)
    result = await run(FakeApi(refusals={"/v1/timelines/home": 503}))
    assert set(result.measurements.errors) == {(OperationKind.READ, "503")}
    document = report_as_json(result)
    assert document["operations"]["home timeline"]["done"] == 0
    assert document["errors"][0]["status"] == "503"
    assert result.measurements.has_failures


async def test_how_soon_posts_show_is_measured_from_their_answer() -> None:
    # A post and a look at it take half a second each, together more than what is measured.
    result = await run(FakeApi(delay=0.5))
    assert len(result.measurements.freshness) >= 2
    assert min(result.measurements.freshness) < 1


async def test_a_post_that_never_shows_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.simulation.load_generator.WATCH_TIMEOUT", 0.2)
    result = await run(FakeApi(hidden=True), seconds=0.5)
    assert result.measurements.never_shown > 0
    assert result.measurements.has_failures


async def test_stopping_gives_the_measures_so_far() -> None:
    stop = asyncio.Event()
    feed = FakeApi()
    async with feed.serving() as url:
        loop = asyncio.get_running_loop()

        def soon() -> None:
            loop.call_later(0.3, stop.set)

        phases = Phases({"load": soon})
        began = loop.time()
        result = await run_simulation(plan(url, seconds=600.0), phases, stop)
        assert loop.time() - began < 10
    assert result.interrupted
    assert 0.2 < result.seconds < 5
    rows = result.measurements.summarize_operations(result.seconds)
    assert sum(row.done + row.failed for row in rows) > 10


async def test_stopping_before_the_load_leaves_no_request_behind() -> None:
    stop = asyncio.Event()
    feed = FakeApi(delay=0.05)
    async with feed.serving() as url:
        result = await run_simulation(plan(url), Phases({"follows": stop.set}), stop)
    assert result.interrupted
    assert result.seconds == 0
    assert ("POST", "/v1/posts") not in feed.requests


async def test_a_server_that_refuses_to_sign_up_ends_it_with_its_reason() -> None:
    with pytest.raises(ServerUnusable, match=r"500.*not today"):
        await run(FakeApi(refusals={"/v1/users": 500}))


async def test_an_unreachable_server_ends_the_run() -> None:
    async with FakeApi().serving() as url:
        pass
    with pytest.raises(ServerUnusable, match="is it running"):
        await run_simulation(plan(url), Phases(), asyncio.Event())


async def test_a_server_that_goes_away_is_reported_as_no_answer() -> None:
    stop = asyncio.Event()
    feed = FakeApi()
    async with feed.serving() as url:
        loading = asyncio.Event()
        running = asyncio.create_task(
            run_simulation(plan(url, seconds=1.0), Phases({"load": loading.set}), stop)
        )
        waiting = asyncio.create_task(loading.wait())
        await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    result = await running
    assert {status for _, status in result.measurements.errors} == {NO_ANSWER}
