"""What a decider may ask about streams that aren't its own.

Deciders don't know one another; what several rules need to know of users, posts and blocks is said
once, here. Each question looks at the streams it needs and refuses with a reason where the answer
ends the command.
"""

from enum import Enum
from typing import NamedTuple

from commands.decider import Aggregate, Asked, Look
from commands.errors import NotAllowed, NotFound
from events import streams
from events.schema import (
    Event,
    HandleClaimed,
    PostCreated,
    PostDeleted,
    UserBlocked,
    UserDeleted,
    UserRegistered,
    UserUnblocked,
)


class Standing(Enum):
    """Where an account is in its life. A claim without a registration is `UNKNOWN` too."""

    UNKNOWN = 0
    ACTIVE = 1
    DELETED = 2


def _standing(state: Standing, event: Event) -> Standing:
    if isinstance(event, UserRegistered):
        return Standing.ACTIVE
    if isinstance(event, UserDeleted):
        return Standing.DELETED
    return state


STANDING = Aggregate(Standing.UNKNOWN, _standing)
"""Of a stream `user-<id>`."""


def _holder(state: int, event: Event) -> int:
    return event.user if isinstance(event, HandleClaimed) else state


HOLDER = Aggregate(0, _holder)
"""Of a stream `handle-<handle>`: the user who holds it, 0 for nobody."""


class Written(NamedTuple):
    """Who wrote a post (0: it doesn't exist), and whether it was deleted."""

    author: int = 0
    deleted: bool = False


def _written(state: Written, event: Event) -> Written:
    if isinstance(event, PostCreated):
        return Written(event.author)
    if isinstance(event, PostDeleted):
        return Written(state.author, deleted=True)
    return state


WRITTEN = Aggregate(Written(), _written)
"""Of a stream `post-<id>`."""


class Blocking(NamedTuple):
    """Whether a block holds, and how many there ever were in its stream."""

    holds: bool = False
    total: int = 0


def _blocking(state: Blocking, event: Event) -> Blocking:
    if isinstance(event, UserBlocked):
        return Blocking(True, event.count)
    if isinstance(event, UserUnblocked):
        return Blocking(False, state.total)
    return state


BLOCKING = Aggregate(Blocking(), _blocking)
"""Of a stream `block-<blocker>-<blocked>`."""


def may_act(asked: Asked, look: Look) -> None:
    """Refuse an actor without an account, or with one that was deleted."""
    standing = look(streams.user(asked.actor), STANDING)
    if standing is Standing.DELETED:
        raise NotAllowed("account-deleted", "this account was deleted; register another one")
    if standing is Standing.UNKNOWN:
        raise NotAllowed(
            "account-unknown", f"there is no account {asked.actor}; register or sign in again"
        )


def user_exists(user: int, look: Look) -> None:
    """Refuse a user who never was or is no more."""
    if look(streams.user(user), STANDING) is not Standing.ACTIVE:
        raise _no_user(user)


def user_existed(user: int, look: Look) -> None:
    """Refuse a user who never was. Taking something back is fine after the user's end."""
    if look(streams.user(user), STANDING) is Standing.UNKNOWN:
        raise _no_user(user)


def author_of(post: int, look: Look) -> int:
    """Who wrote a post, deleted or not. Refuses one that never was."""
    author = look(streams.post(post), WRITTEN).author
    if not author:
        raise _no_post(post)
    return author


def open_to(asked: Asked, post: int, look: Look) -> int:
    """The author of a post that the actor may like, retweet and answer.

    Refuses a post that isn't there (any more), and one whose author blocks the actor.
    """
    author, deleted = look(streams.post(post), WRITTEN)
    if not author or deleted:
        raise _no_post(post)
    if author != asked.actor:
        if look(streams.user(author), STANDING) is not Standing.ACTIVE:
            raise _no_post(post)
        if look(streams.block(author, asked.actor), BLOCKING).holds:
            raise NotAllowed(
                "blocked", f"the author of post {post} blocked you; leave their posts alone"
            )
    return author


def blocks_between(asked: Asked, user: int, look: Look) -> tuple[Blocking, Blocking]:
    """The actor's blocks of `user`, and the user's of the actor."""
    mine = look(streams.block(asked.actor, user), BLOCKING)
    return mine, look(streams.block(user, asked.actor), BLOCKING)


def _no_user(user: int) -> NotFound:
    return NotFound("user-not-found", f"there is no user {user} (any more); check the id")


def _no_post(post: int) -> NotFound:
    return NotFound("post-not-found", f"there is no post {post} (any more); check the id")
