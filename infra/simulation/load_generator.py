"""The open loop: each operation is sent when it is due, whatever became of the ones before.

A latency counts from the moment when the operation was due, not from when it was sent. Where the
server, the bounded number of connections or this program falls behind, the wait is in the figure
and not hidden (Gil Tene calls hiding it 'coordinated omission').

Of the posts that are made, a few a second are sampled for freshness: how soon they show in a
follower's home timeline. The follower reads it again and again; measured is the time from the
response to the author until the response with the post in it. One round trip is in the figure, so
it is never too good.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from infra.simulation.http_client import SimulationClient
from infra.simulation.measurements import LoadMeasurements
from infra.simulation.onboarding import CreatedPost, SignedInPerson
from infra.simulation.workload import Arrival, OperationKind, RequestChooser
from infra.simulation.world import World

FINISH_GRACE_SECONDS: Final = 10.0
"""Seconds that late responses are waited for at the end."""
_SHORT_WAIT: Final = 0.1
SAMPLE_INTERVAL: Final = 0.25
"""Seconds between samples: watching must not become a load of its own."""
WATCH_TIMEOUT: Final = 10.0
"""Seconds after which a post counts as never shown."""
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05


class FreshnessSampler:
    """Samples posts while the load runs."""

    def __init__(
        self,
        client: SimulationClient,
        world: World,
        people: list[SignedInPerson],
        measurements: LoadMeasurements,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._world = world
        self._people = people
        self._measurements = measurements
        self._rng = rng
        self._next_sample_at = 0.0
        self._watches: set[asyncio.Task[None]] = set()

    def sample_post(self, post: CreatedPost) -> None:
        """Have a follower watch for a post that was acknowledged just now, if it is time to."""
        now = asyncio.get_running_loop().time()
        followers = self._world.followers[post.author]
        if now < self._next_sample_at or not followers:
            return
        self._next_sample_at = now + SAMPLE_INTERVAL
        reader = self._people[self._rng.choice(followers)]
        watch = asyncio.create_task(self._watch_timeline(post, reader, now))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def wait_for_watches(self) -> None:
        """Wait for the posts that are still watched for."""
        await asyncio.gather(*self._watches)

    def cancel_watches(self) -> None:
        """Stop watching."""
        for watch in self._watches:
            watch.cancel()

    async def _watch_timeline(
        self, post: CreatedPost, reader: SignedInPerson, since: float
    ) -> None:
        clock = asyncio.get_running_loop().time
        # The oldest entry that is newer than the id before: the post itself, once it is there.
        path = f"/v1/timelines/home?limit=1&min_id={int(post.id) - 1}"
        pause = _FIRST_PAUSE
        while clock() - since < WATCH_TIMEOUT:
            reply = await self._client.send_request("GET", path, reader.token)
            if reply.ok and any(entry["id"] == post.id for entry in reply.json()):
                self._measurements.freshness.append(clock() - since)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        self._measurements.never_shown += 1


class LoadGenerator:
    """Sends due operations over at most `connections` connections."""

    def __init__(
        self,
        client: SimulationClient,
        requests: RequestChooser,
        measurements: LoadMeasurements,
        freshness: FreshnessSampler,
        connections: int,
    ) -> None:
        self._client = client
        self._requests = requests
        self._measurements = measurements
        self._freshness = freshness
        self._max_concurrent = connections
        self._due_operations: asyncio.Queue[tuple[float, OperationKind]] = asyncio.Queue()
        self._unanswered = 0

    async def run(
        self, arrivals: Iterable[Arrival], stop: asyncio.Event, tick: Callable[[float], None]
    ) -> float:
        """Run until the arrivals end and are answered, or `stop` is set; the seconds it took.

        `tick` gets the seconds since the beginning, now and then.
        """
        clock = asyncio.get_running_loop().time
        senders = [
            asyncio.create_task(self._send_due_requests()) for _ in range(self._max_concurrent)
        ]
        start = clock()
        try:
            await self._schedule_arrivals(arrivals, start, stop, tick)
            await self._wait_for_answers(senders, stop)
            took = clock() - start
            await self._wait_for_freshness(stop)
        finally:
            for sender in senders:
                sender.cancel()
            self._freshness.cancel_watches()
            await asyncio.gather(*senders, return_exceptions=True)
        self._measurements.unfinished = self._unanswered
        return took

    async def _schedule_arrivals(
        self,
        arrivals: Iterable[Arrival],
        start: float,
        stop: asyncio.Event,
        tick: Callable[[float], None],
    ) -> None:
        clock = asyncio.get_running_loop().time
        for at, operation in arrivals:
            due = start + at
            if (wait := due - clock()) > 0:
                tick(at)
                await (
                    asyncio.sleep(wait)
                    if wait < _SHORT_WAIT
                    else _wait_for_first(stop.wait(), seconds=wait)
                )
            if stop.is_set():
                return
            self._unanswered += 1
            self._due_operations.put_nowait((due, operation))

    async def _send_due_requests(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, operation = await self._due_operations.get()
            planned = self._requests.next_request(operation)
            reply = await self._client.send_request(
                planned.method, planned.path, planned.token, planned.body
            )
            self._unanswered -= 1
            if reply.ok:
                self._measurements.record_success(operation, clock() - due)
                if operation is OperationKind.POST:
                    post = CreatedPost(reply.json()["id"], planned.person)
                    self._requests.remember_post(post)
                    self._freshness.sample_post(post)
            else:
                self._measurements.record_failure(operation, reply.status)
            self._due_operations.task_done()

    async def _wait_for_answers(
        self, senders: list[asyncio.Task[None]], stop: asyncio.Event
    ) -> None:
        """Wait for late responses, for a bounded time. The error of a sender is raised here."""
        await _wait_for_first(
            self._due_operations.join(), stop.wait(), *senders, seconds=FINISH_GRACE_SECONDS
        )
        for sender in senders:
            if sender.done():
                sender.result()

    async def _wait_for_freshness(self, stop: asyncio.Event) -> None:
        await _wait_for_first(
            self._freshness.wait_for_watches(), stop.wait(), seconds=FINISH_GRACE_SECONDS
        )


async def _wait_for_first(*events: Awaitable[object], seconds: float) -> None:
    """Wait until one of the awaitables is done, then drop those that this call started."""
    tasks = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task, event in zip(tasks, events, strict=True):
        if task is not event:
            task.cancel()
