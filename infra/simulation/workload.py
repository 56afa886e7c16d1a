"""The load: which operations fall due when, and which request each of them is.

Arrivals are Poisson, of a fixed mix, and independent of how fast the server answers (an open loop):
a slow server meets the same load, and is seen to be slow.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple

from infra.simulation.onboarding import CreatedPost, SignedInPerson
from infra.simulation.world import World, random_post_text

MAX_REMEMBERED_POSTS: Final = 1000
"""Posts that people still react to."""
_MEAN_POST_AGE: Final = 40
"""Most reactions go to about this many newest posts."""


class OperationKind(StrEnum):
    """What people do, by the name under which it is reported."""

    POST = "post"
    LIKE = "like"
    COMMENT = "comment"
    RETWEET = "retweet"
    FOLLOW = "follow"
    READ = "home timeline"


OPERATION_MIX: Final = {
    OperationKind.POST: 12,
    OperationKind.LIKE: 50,
    OperationKind.COMMENT: 5,
    OperationKind.RETWEET: 5,
    OperationKind.FOLLOW: 2,
    OperationKind.READ: 100,
}
"""Millions a day of the load that Starling is made for."""

OPERATIONS_PER_POST: Final = sum(OPERATION_MIX.values()) / OPERATION_MIX[OperationKind.POST]


class Arrival(NamedTuple):
    """An operation that falls due at `at`, in seconds from the beginning."""

    at: float
    operation: OperationKind


def generate_arrivals(posts_per_second: float, seconds: float, seed: int) -> Iterator[Arrival]:
    """Arrivals in order of time, until `seconds`."""
    rng = random.Random(f"arrivals-{seed}")
    rate = posts_per_second * OPERATIONS_PER_POST
    operations, bounds = list(OPERATION_MIX), list(accumulate(OPERATION_MIX.values()))
    at = rng.expovariate(rate)
    while at < seconds:
        yield Arrival(at, rng.choices(operations, cum_weights=bounds)[0])
        at += rng.expovariate(rate)


class PlannedRequest(NamedTuple):
    """A request, and the number of the person who makes it."""

    person: int
    method: str
    path: str
    token: str
    body: dict[str, str] | None = None


class RequestChooser:
    """Chooses the person and the post of each operation; remembers the posts that were made."""

    def __init__(
        self,
        world: World,
        people: list[SignedInPerson],
        posts: Iterable[CreatedPost],
        rng: random.Random,
    ) -> None:
        self._world = world
        self._people = people
        self._posts = deque(posts, MAX_REMEMBERED_POSTS)
        self._rng = rng
        self._request_builders: dict[OperationKind, Callable[[], PlannedRequest]] = {
            OperationKind.POST: self._post_request,
            OperationKind.LIKE: lambda: self._reaction_request("like"),
            OperationKind.COMMENT: self._comment_request,
            OperationKind.RETWEET: lambda: self._reaction_request("retweet"),
            OperationKind.FOLLOW: self._follow_request,
            OperationKind.READ: self._timeline_request,
        }

    def next_request(self, operation: OperationKind) -> PlannedRequest:
        """The next request of this kind."""
        return self._request_builders[operation]()

    def remember_post(self, post: CreatedPost) -> None:
        """Add a post that people may react to."""
        self._posts.append(post)

    def _post_request(self) -> PlannedRequest:
        author = self._world.pick_by_popularity(self._rng)
        return self._request_by(author, "POST", "/v1/posts", {"text": random_post_text(self._rng)})

    def _comment_request(self) -> PlannedRequest:
        person, post = self._world.pick_uniformly(self._rng), self._recent_post()
        body = {"text": random_post_text(self._rng)}
        return self._request_by(person, "POST", f"/v1/posts/{post.id}/comments", body)

    def _reaction_request(self, what: str) -> PlannedRequest:
        person, post = self._world.pick_uniformly(self._rng), self._recent_post()
        return self._request_by(person, "PUT", f"/v1/posts/{post.id}/{what}")

    def _follow_request(self) -> PlannedRequest:
        follower = self._world.pick_uniformly(self._rng)
        followee = self._world.pick_by_popularity(self._rng)
        if followee == follower:
            followee = (followee + 1) % len(self._people)
        return self._request_by(follower, "PUT", f"/v1/users/{self._people[followee].id}/follow")

    def _timeline_request(self) -> PlannedRequest:
        return self._request_by(self._world.pick_uniformly(self._rng), "GET", "/v1/timelines/home")

    def _recent_post(self) -> CreatedPost:
        age = int(self._rng.expovariate(1 / _MEAN_POST_AGE))
        return self._posts[-1 - min(age, len(self._posts) - 1)]

    def _request_by(
        self, person: int, method: str, path: str, body: dict[str, str] | None = None
    ) -> PlannedRequest:
        return PlannedRequest(person, method, path, self._people[person].token, body)
