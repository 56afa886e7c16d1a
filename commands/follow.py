"""Follows: whether one user follows another.

A block ends the follows between two users without events of its own: a follow remembers how many
blocks there had been between the two, and is over once there were more (`UserFollowed.blocks`).
"""

from typing import Final

from commands import facts
from commands.decider import NOTHING, Aggregate, Asked, Change, Command, Decider, Decision, Look
from commands.errors import Invalid, NotAllowed
from events import streams
from events.schema import Event, UserFollowed, UserUnfollowed


class Follow(Command, frozen=True):
    """See `user`'s posts in the home timeline from now on."""

    user: int


class Unfollow(Command, frozen=True):
    """No longer follow `user`."""

    user: int


NOT_FOLLOWED: Final = -1
"""No count of blocks."""


def _evolve(blocks: int, event: Event) -> int:
    return event.blocks if isinstance(event, UserFollowed) else NOT_FOLLOWED


FOLLOWED_SINCE_BLOCKS = Aggregate(NOT_FOLLOWED, _evolve)
"""Of a stream `follow-<followee>-<follower>`: the blocks that the standing follow had seen."""


def _follow(command: Follow, asked: Asked, look: Look) -> Decision:
    if command.user == asked.actor:
        raise Invalid("self-follow", "nobody follows themselves; name another user")
    facts.may_act(asked, look)
    facts.user_exists(command.user, look)
    mine, theirs = facts.blocks_between(asked, command.user, look)
    if theirs.holds:
        raise NotAllowed("blocked", f"user {command.user} blocked you; follow somebody else")
    if mine.holds:
        raise NotAllowed("blocking", f"you block user {command.user}; unblock them first")
    stream = streams.follow(command.user, asked.actor)
    blocks = mine.total + theirs.total
    if look(stream, FOLLOWED_SINCE_BLOCKS) == blocks:
        return NOTHING
    return (Change(stream, (UserFollowed(command.user, asked.actor, blocks),)),)


def _unfollow(command: Unfollow, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    facts.user_existed(command.user, look)
    mine, theirs = facts.blocks_between(asked, command.user, look)
    stream = streams.follow(command.user, asked.actor)
    if look(stream, FOLLOWED_SINCE_BLOCKS) != mine.total + theirs.total:
        return NOTHING
    return (Change(stream, (UserUnfollowed(command.user, asked.actor),)),)


def _subject(command: Follow | Unfollow, asked: Asked) -> int:
    return command.user


FOLLOW: Final[Decider[Follow]] = Decider("follow", Follow, _follow, subject=_subject)
UNFOLLOW: Final[Decider[Unfollow]] = Decider("unfollow", Unfollow, _unfollow, subject=_subject)
