"""Follows: whether one user follows another.

A block ends the follows between two users without events of its own: a follow remembers how many
blocks there had been between the two, and is over once there were more (`UserFollowed.blocks`).
"""

from typing import Final

from commands import rules
from commands.decider import (
    NO_EVENTS,
    Aggregate,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
)
from commands.errors import InvalidInput, NotAllowed
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


def _decide_follow(command: Follow, asked: CommandContext, look: ReadState) -> Decision:
    if command.user == asked.actor:
        raise InvalidInput("self-follow", "nobody follows themselves; name another user")
    rules.require_active_actor(asked, look)
    rules.require_active_user(command.user, look)
    mine, theirs = rules.blocks_between(asked, command.user, look)
    if theirs.active:
        raise NotAllowed("blocked", f"user {command.user} blocked you; follow somebody else")
    if mine.active:
        raise NotAllowed("blocking", f"you block user {command.user}; unblock them first")
    stream = streams.follow_stream(command.user, asked.actor)
    blocks = mine.block_count + theirs.block_count
    if look(stream, FOLLOWED_SINCE_BLOCKS) == blocks:
        return NO_EVENTS
    return (StreamWrite(stream, (UserFollowed(command.user, asked.actor, blocks),)),)


def _decide_unfollow(command: Unfollow, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    rules.require_known_user(command.user, look)
    mine, theirs = rules.blocks_between(asked, command.user, look)
    stream = streams.follow_stream(command.user, asked.actor)
    if look(stream, FOLLOWED_SINCE_BLOCKS) != mine.block_count + theirs.block_count:
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnfollowed(command.user, asked.actor),)),)


def _subject_user(command: Follow | Unfollow, asked: CommandContext) -> int:
    return command.user


FOLLOW: Final[Decider[Follow]] = Decider("follow", Follow, _decide_follow, subject_id=_subject_user)
UNFOLLOW: Final[Decider[Unfollow]] = Decider(
    "unfollow", Unfollow, _decide_unfollow, subject_id=_subject_user
)
