"""given(what happened).when(somebody asks).then(what happens)."""

from collections import defaultdict
from typing import TypeVar

import pytest

from commands.catalog import BY_COMMAND
from commands.decider import Aggregate, Asked, Change, Command
from commands.errors import Rejected
from commands.sight import fold
from events import schema, streams
from events.schema import Event

S = TypeVar("S")

ANNA, BEN, CARA = 101, 102, 103
POST, COMMENT = 201, 202
NEW = 999
"""The id that what a command makes has in these tests."""


def stream_of(event: Event) -> str:
    """Where an event belongs, said again independently of the deciders."""
    match event:
        case schema.HandleClaimed():
            return streams.handle(event.handle)
        case schema.PostCreated() | schema.PostEdited() | schema.PostDeleted():
            return streams.post(event.post)
        case schema.PostLiked() | schema.PostUnliked():
            return streams.like(event.post, event.user)
        case schema.PostRetweeted() | schema.PostUnretweeted():
            return streams.retweet(event.post, event.user)
        case schema.UserFollowed() | schema.UserUnfollowed():
            return streams.follow(event.followee, event.follower)
        case schema.UserBlocked() | schema.UserUnblocked():
            return streams.block(event.blocker, event.blocked)
        case schema.UserMuted() | schema.UserUnmuted():
            return streams.mute(event.muter, event.muted)
        case (
            schema.UserRegistered()
            | schema.RegistrationAbandoned()
            | schema.ProfileChanged()
            | schema.UserDeleted()
        ):
            return streams.user(event.user)
    raise AssertionError(f"no stream is known for {event}")


class When:
    """A command given in a history."""

    def __init__(self, history: tuple[Event, ...], command: Command, actor: int) -> None:
        self._history = history
        self._command = command
        self._asked = Asked(actor, NEW)

    def decide(self) -> tuple[Change, ...]:
        """What the rule says."""
        by_stream: dict[str, list[Event]] = defaultdict(list)
        for event in self._history:
            by_stream[stream_of(event)].append(event)

        def look(stream: str, aggregate: Aggregate[S]) -> S:
            return fold(by_stream[stream], aggregate)

        return BY_COMMAND[type(self._command)].decide(self._command, self._asked, look)

    def then(self, *events: Event) -> None:
        """Exactly these events happen, each in its stream, in this order."""
        assert self.decide() == tuple(Change(stream_of(event), (event,)) for event in events)

    def then_nothing(self) -> None:
        """It holds already."""
        assert self.decide() == ()

    def rejected(self, code: str, kind: type[Rejected] = Rejected) -> None:
        """It is refused with this code, and with a sentence."""
        with pytest.raises(kind) as caught:
            self.decide()
        assert caught.value.code == code
        assert len(str(caught.value)) > 20

    def twice(self) -> None:
        """Asked again right afterwards, nothing more happens."""
        first = self.decide()
        assert first
        events = tuple(event for change in first for event in change.events)
        When(self._history + events, self._command, self._asked.actor).then_nothing()


class Given:
    """What happened before."""

    def __init__(self, *history: Event) -> None:
        self._history = history

    def and_then(self, *more: Event) -> "Given":
        """A longer history."""
        return Given(*self._history, *more)

    def when(self, command: Command, by: int = ANNA) -> When:
        """Somebody asks for something."""
        return When(self._history, command, by)


def _registered(user: int, handle: str, name: str = "Somebody", bio: str = "") -> tuple[Event, ...]:
    return (
        schema.HandleClaimed(handle, user),
        schema.UserRegistered(user, handle, name, bio),
    )


NOBODY = Given()
PEOPLE = Given(
    *_registered(ANNA, "anna", "Anna", "About Anna"),
    *_registered(BEN, "ben"),
    *_registered(CARA, "cara"),
)
"""Three accounts; Anna is the one who asks."""

BEN_POSTED = PEOPLE.and_then(schema.PostCreated(POST, BEN, "hello"))
ANNA_POSTED = PEOPLE.and_then(schema.PostCreated(POST, ANNA, "hello"))
