"""What one person does at one moment, as a request."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from infra.simulation.arrivals import Operation
from infra.simulation.people import Inhabitant, Posted
from infra.simulation.world import World, text

REMEMBERED: Final = 1000
"""Posts that people still react to."""
_RECENT: Final = 40
"""Most reactions go to about this many newest posts."""


class Wish(NamedTuple):
    """A request, and which person makes it."""

    person: int
    method: str
    path: str
    token: str
    body: dict[str, str] | None = None


class Actions:
    """Chooses who does what to which post; remembers the posts that were made."""

    def __init__(
        self,
        world: World,
        people: list[Inhabitant],
        posts: Iterable[Posted],
        rng: random.Random,
    ) -> None:
        self._world = world
        self._people = people
        self._posts = deque(posts, REMEMBERED)
        self._rng = rng
        self._wish: dict[Operation, Callable[[], Wish]] = {
            Operation.POST: self._post,
            Operation.LIKE: lambda: self._react("like"),
            Operation.COMMENT: self._comment,
            Operation.RETWEET: lambda: self._react("retweet"),
            Operation.FOLLOW: self._follow,
            Operation.READ: self._read,
        }

    def wish(self, operation: Operation) -> Wish:
        """The next request of this kind."""
        return self._wish[operation]()

    def posted(self, post: Posted) -> None:
        """Take note of a post that people may react to."""
        self._posts.append(post)

    def _post(self) -> Wish:
        author = self._world.someone(self._rng)
        return self._by(author, "POST", "/v1/posts", {"text": text(self._rng)})

    def _comment(self) -> Wish:
        person, post = self._world.anyone(self._rng), self._some_post()
        body = {"text": text(self._rng)}
        return self._by(person, "POST", f"/v1/posts/{post.id}/comments", body)

    def _react(self, what: str) -> Wish:
        person, post = self._world.anyone(self._rng), self._some_post()
        return self._by(person, "PUT", f"/v1/posts/{post.id}/{what}")

    def _follow(self) -> Wish:
        follower = self._world.anyone(self._rng)
        followee = self._world.someone(self._rng)
        if followee == follower:
            followee = (followee + 1) % len(self._people)
        return self._by(follower, "PUT", f"/v1/users/{self._people[followee].id}/follow")

    def _read(self) -> Wish:
        return self._by(self._world.anyone(self._rng), "GET", "/v1/timelines/home")

    def _some_post(self) -> Posted:
        age = int(self._rng.expovariate(1 / _RECENT))
        return self._posts[-1 - min(age, len(self._posts) - 1)]

    def _by(self, person: int, method: str, path: str, body: dict[str, str] | None = None) -> Wish:
        return Wish(person, method, path, self._people[person].token, body)
