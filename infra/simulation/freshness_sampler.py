"""How soon a post shows in a follower's home timeline.

Of the posts that are made, a few a second are sampled. A follower asks for the home timeline again
and again; measured is the time from the answer to the author until the answer with the post in it.
One round trip is in the figure, so it is never too good.
"""

import asyncio
import random
from typing import Final

from infra.simulation.http_client import SimulationClient
from infra.simulation.measurements import LoadMeasurements
from infra.simulation.onboarding import CreatedPost, SignedInPerson
from infra.simulation.world import World

SAMPLE_INTERVAL: Final = 0.25
"""Seconds between samples: looking must not become a load of its own."""
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
        measures: LoadMeasurements,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._world = world
        self._people = people
        self._measures = measures
        self._rng = rng
        self._next_sample_at = 0.0
        self._watches: set[asyncio.Task[None]] = set()

    def sample_post(self, post: CreatedPost) -> None:
        """A post was acknowledged just now; perhaps somebody looks out for it."""
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
        """Wait for the posts that are still looked out for."""
        await asyncio.gather(*self._watches)

    def cancel_watches(self) -> None:
        """Look no further."""
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
            if reply.ok and any(shown["id"] == post.id for shown in reply.json()):
                self._measures.freshness.append(clock() - since)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        self._measures.never_shown += 1
