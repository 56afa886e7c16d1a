"""A made-up world for benchmarks: a long log in the mission's mix, from a seed.

Of 74 events 12 are posts, 50 likes, 5 comments, 5 retweets and 2 follows. Who is active, whom they
follow and what they like is heavy-tailed, and mostly new things are liked. A day brings 15 events
for each user, as in the mission (74 million for 5 million daily users). What happens could have:
no user likes a post twice or follows an account twice.
"""

import asyncio
import random
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Final

from events import streams
from events.ids.snowflake import compose_id
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from events.schema import (
    Event,
    PostCreated,
    PostLiked,
    PostRetweeted,
    UserFollowed,
    UserRegistered,
)

START_MS: Final = 1_700_000_000_000
DAY_MS: Final = 86_400_000
EVENT_MIX: Final = {"like": 50, "post": 12, "comment": 5, "retweet": 5, "follow": 2}
EVENTS_PER_USER_DAY: Final = 15
"""Events of one user."""

_WORDS = (
    "coffee", "morning", "rain", "train", "music", "garden", "match", "goal", "code", "bread",
    "river", "night", "winter", "book", "photo", "dinner", "friend", "city", "light", "news",
)  # fmt: skip
_APPENDS_AT_ONCE = 2000


class MissionWorkload:
    """Users 1 to `users`, and what they did so far."""

    def __init__(self, users: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._users = range(1, users + 1)
        # Zipf's law, a little flattened at the top.
        self._activity = list(accumulate(1 / (rank + 10) for rank in range(users)))
        self._posts: list[tuple[int, int]] = []
        self._relations_made: set[tuple[str, int, int]] = set()
        self._id_count = 0
        self._ms_between = DAY_MS / (EVENTS_PER_USER_DAY * users)

    def endless_events(self) -> Iterator[tuple[int, str, int, Event]]:
        """(id, stream, actor, event) without end; registrations come first."""
        for user in self._users:
            registered = UserRegistered(user, f"user{user}", f"User {user}", "Made up.")
            yield self._next_id(), streams.user_stream(user), user, registered
        kinds, weights = list(EVENT_MIX), list(accumulate(EVENT_MIX.values()))
        while True:
            [kind] = self._random.choices(kinds, cum_weights=weights)
            happened = getattr(self, f"_{kind}")(self._active_user())
            if happened is not None:
                yield happened

    def _next_id(self) -> int:
        self._id_count += 1
        return compose_id(
            START_MS + int(self._id_count * self._ms_between), 1, self._id_count % 4096
        )

    def _active_user(self) -> int:
        [user] = self._random.choices(self._users, cum_weights=self._activity)
        return user

    def _recent_post(self) -> tuple[int, int] | None:
        """(post, author): a new one more often than an old one."""
        if not self._posts:
            return None
        age = int(self._random.paretovariate(0.6))
        return self._posts[-age] if age <= len(self._posts) else None

    def _first_time(self, kind: str, one: int, other: int) -> bool:
        key = (kind, one, other)
        if key in self._relations_made:
            return False
        self._relations_made.add(key)
        return True

    def _random_text(self) -> tuple[str, tuple[str, ...]]:
        words = self._random.choices(_WORDS, k=self._random.randint(4, 20))
        tags: tuple[str, ...] = ()
        if self._random.random() < 0.3:
            topic = int(self._random.paretovariate(0.8))
            tags = (f"Topic{topic}",)
            words.append(f"#Topic{topic}")
        return " ".join(words), tags

    def _post(self, user: int, reply_to: int | None = None) -> tuple[int, str, int, Event]:
        id = self._next_id()
        text, tags = self._random_text()
        self._posts.append((id, user))
        return id, streams.post_stream(id), user, PostCreated(id, user, text, reply_to, tags)

    def _comment(self, user: int) -> tuple[int, str, int, Event] | None:
        found = self._recent_post()
        return self._post(user, found[0]) if found else None

    def _like(self, user: int) -> tuple[int, str, int, Event] | None:
        found = self._recent_post()
        if found is None or not self._first_time("like", found[0], user):
            return None
        event = PostLiked(found[0], user, found[1])
        return self._next_id(), streams.like_stream(found[0], user), user, event

    def _retweet(self, user: int) -> tuple[int, str, int, Event] | None:
        found = self._recent_post()
        if found is None or not self._first_time("retweet", found[0], user):
            return None
        event = PostRetweeted(found[0], user, found[1])
        return self._next_id(), streams.retweet_stream(found[0], user), user, event

    def _follow(self, user: int) -> tuple[int, str, int, Event] | None:
        followee = self._active_user()
        if followee == user or not self._first_time("follow", followee, user):
            return None
        event = UserFollowed(followee, user)
        return self._next_id(), streams.follow_stream(followee, user), user, event


async def write_log(log: EventLog, events: int, users: int, seed: int = 1) -> None:
    """Append such a world to an empty log."""
    await append_events(log, islice(MissionWorkload(users, seed).endless_events(), events))


async def append_events(log: EventLog, made: Iterator[tuple[int, str, int, Event]]) -> None:
    """Append (id, stream, actor, event) to a log, each as the first of its stream."""
    while some := list(islice(made, _APPENDS_AT_ONCE)):
        await asyncio.gather(
            *(
                log.append(
                    AppendRequest(
                        (StreamAppend(stream, 0, (NewEvent(id, event),)),),
                        actor,
                        id,
                        correlation=id,
                    )
                )
                for id, stream, actor, event in some
            )
        )
