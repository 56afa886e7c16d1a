"""Follows: whether one user follows another.

A block ends the follows between two users without events of its own: a follow remembers how many
blocks there had been between the two, and is over once there are more (`UserFollowed.blocks`).
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
    subject_user,
)
from commands.errors import InvalidInput
from events import streams
from events.schema import UserFollowed, UserUnfollowed


class Follow(Command, frozen=True):
    """See `user`'s posts in the home timeline from now on."""

    user: int


class Unfollow(Command, frozen=True):
    """No longer follow `user`."""

    user: int


class RemoveFollower(Command, frozen=True):
    """Have `user` no longer follow the actor. Other than a block, it keeps no follow away."""

    user: int


NOT_FOLLOWED: Final = -1
"""In place of a count of blocks."""


FOLLOWED_SINCE_BLOCKS = Aggregate(
    NOT_FOLLOWED,
    lambda blocks, event: event.blocks if isinstance(event, UserFollowed) else NOT_FOLLOWED,
)
"""Of a stream `follow-<followee>-<follower>`: how many blocks the follow had seen."""


def _decide_follow(command: Follow, context: CommandContext, read_state: ReadState) -> Decision:
    if command.user == context.actor:
        raise InvalidInput("self-follow", "users can't follow themselves; name another user")
    rules.require_active_actor(context, read_state)
    rules.require_active_user(command.user, read_state)
    own_block, their_block = rules.require_no_block(context, command.user, read_state)
    stream = streams.follow_stream(command.user, context.actor)
    blocks = own_block.block_count + their_block.block_count
    if read_state(stream, FOLLOWED_SINCE_BLOCKS) == blocks:
        return NO_EVENTS
    return (StreamWrite(stream, (UserFollowed(command.user, context.actor, blocks),)),)


def _decide_unfollow(command: Unfollow, context: CommandContext, read_state: ReadState) -> Decision:
    return _end_follow(command.user, command.user, context.actor, context, read_state)


def _decide_removal(
    command: RemoveFollower, context: CommandContext, read_state: ReadState
) -> Decision:
    return _end_follow(command.user, context.actor, command.user, context, read_state)


def _end_follow(
    other: int, followee: int, follower: int, context: CommandContext, read_state: ReadState
) -> Decision:
    """The end of a follow between the actor and another user, whichever of them asks for it."""
    rules.require_active_actor(context, read_state)
    rules.require_known_user(other, read_state)
    own_block, their_block = rules.blocks_between(context, other, read_state)
    stream = streams.follow_stream(followee, follower)
    if read_state(stream, FOLLOWED_SINCE_BLOCKS) != own_block.block_count + their_block.block_count:
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnfollowed(followee, follower),)),)


FOLLOW: Final[Decider[Follow]] = Decider(Follow, _decide_follow, subject_id=subject_user)
UNFOLLOW: Final[Decider[Unfollow]] = Decider(Unfollow, _decide_unfollow, subject_id=subject_user)
REMOVE_FOLLOWER: Final[Decider[RemoveFollower]] = Decider(
    RemoveFollower, _decide_removal, subject_id=subject_user
)
