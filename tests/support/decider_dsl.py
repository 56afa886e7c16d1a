"""given(events).when(command).then(events or a rejection)."""

from collections import defaultdict
from typing import TypeVar

import pytest

from commands.decider import Aggregate, Command, CommandContext, StreamWrite
from commands.errors import CommandRejected
from commands.registry import DECIDERS_BY_COMMAND
from commands.stream_reader import fold_events
from events import schema, streams
from events.schema import Event, Medium

S = TypeVar("S")

ANNA, BEN, CARA = 101, 102, 103
POST, COMMENT = 201, 202
NEW_ID = 999
"""The id that what a command makes has in these tests."""


def stream_of(event: Event) -> str:
    """Where an event belongs, said again independently of the deciders."""
    match event:
        case schema.HandleClaimed():
            return streams.handle_stream(event.handle)
        case schema.PostCreated() | schema.PostEdited() | schema.PostDeleted():  # or removed
            return streams.post_stream(event.post)
        case schema.PostLiked() | schema.PostUnliked():
            return streams.like_stream(event.post, event.user)
        case schema.PostRetweeted() | schema.PostUnretweeted():
            return streams.retweet_stream(event.post, event.user)
        case schema.UserFollowed() | schema.UserUnfollowed():
            return streams.follow_stream(event.followee, event.follower)
        case schema.UserBlocked() | schema.UserUnblocked():
            return streams.block_stream(event.blocker, event.blocked)
        case schema.UserMuted() | schema.UserUnmuted():
            return streams.mute_stream(event.muter, event.muted)
        case schema.PostBookmarked() | schema.PostUnbookmarked():
            return streams.bookmark_stream(event.post, event.user)
        case schema.PostPinned() | schema.PostUnpinned():
            return streams.pins_stream(event.author)
        case schema.HashtagFollowed() | schema.HashtagUnfollowed():
            return streams.hashtags_stream(event.user)
        case (
            schema.ListChanged()
            | schema.ListDeleted()
            | schema.ListMemberAdded()
            | schema.ListMemberRemoved()
        ):
            return streams.list_stream(event.list)
        case schema.FilterChanged() | schema.FilterDeleted():
            return streams.filters_stream(event.user)
        case schema.ConversationMuted() | schema.ConversationUnmuted():
            return streams.conversation_stream(event.post, event.user)
        case schema.NotificationsRead() | schema.NotificationsDismissed():
            return streams.notifications_stream(event.user)
        case schema.PrivateNoteChanged():
            return streams.note_stream(event.user, event.subject)
        case schema.RecommendationDismissed():
            return streams.dismissal_stream(event.user, event.dismissed)
        case (
            schema.UserRegistered()
            | schema.RegistrationAbandoned()
            | schema.ProfileChanged()
            | schema.UserDeleted()
            | schema.AccountSuspended()
            | schema.AccountUnsuspended()
        ):
            return streams.user_stream(event.user)
    raise AssertionError(f"no stream is known for {event}")


class When:
    """A command given in a history."""

    def __init__(
        self, history: tuple[Event, ...], command: Command, actor: int, uploads: tuple[Medium, ...]
    ) -> None:
        self._history = history
        self._command = command
        self._uploads = uploads
        self._context = CommandContext(actor, NEW_ID, uploads={u.id: u for u in uploads})

    def decide(self) -> tuple[StreamWrite, ...]:
        """What the rule says."""
        by_stream: dict[str, list[Event]] = defaultdict(list)
        for event in self._history:
            by_stream[stream_of(event)].append(event)

        def read_state(stream: str, aggregate: Aggregate[S]) -> S:
            return fold_events(by_stream[stream], aggregate)

        return DECIDERS_BY_COMMAND[type(self._command)].decide(
            self._command, self._context, read_state
        )

    def then(self, *events: Event) -> None:
        """Exactly these events happen, each in its stream, in this order."""
        assert self.decide() == tuple(StreamWrite(stream_of(event), (event,)) for event in events)

    def then_nothing(self) -> None:
        """It holds already."""
        assert self.decide() == ()

    def then_rejected(self, code: str, kind: type[CommandRejected] = CommandRejected) -> None:
        """It is refused with this code, and with a sentence."""
        with pytest.raises(kind) as caught:
            self.decide()
        assert caught.value.code == code
        assert len(str(caught.value)) > 20

    def then_idempotent(self) -> None:
        """Asked again right afterwards, nothing more happens."""
        first = self.decide()
        assert first
        events = tuple(event for change in first for event in change.events)
        again = When(self._history + events, self._command, self._context.actor, self._uploads)
        again.then_nothing()


class Given:
    """What happened before."""

    def __init__(self, *history: Event) -> None:
        self._history = history

    def and_then(self, *more: Event) -> "Given":
        """A longer history."""
        return Given(*self._history, *more)

    def when(self, command: Command, by: int = ANNA, uploads: tuple[Medium, ...] = ()) -> When:
        """A user sends a command, who has uploaded some images."""
        return When(self._history, command, by, uploads)


def _registered(user: int, handle: str, name: str = "Robin", bio: str = "") -> tuple[Event, ...]:
    return (
        schema.HandleClaimed(handle, user),
        schema.UserRegistered(user, handle, name, bio),
    )


NO_HISTORY = Given()
PEOPLE = Given(
    *_registered(ANNA, "anna", "Anna", "About Anna"),
    *_registered(BEN, "ben"),
    *_registered(CARA, "cara"),
)
"""Three accounts; Anna is the one who asks."""

BEN_POSTED = PEOPLE.and_then(schema.PostCreated(POST, BEN, "hello"))
ANNA_POSTED = PEOPLE.and_then(schema.PostCreated(POST, ANNA, "hello"))
