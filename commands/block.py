"""Blocks and mutes: which users a user keeps away, and which they don't want to see."""

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
from events.schema import UserBlocked, UserMuted, UserUnblocked, UserUnmuted


class Block(Command, frozen=True):
    """Keep `user` away. Follows between the two end, for good (`commands.follow`)."""

    user: int


class Unblock(Command, frozen=True):
    """End the block. Follows that it ended stay ended."""

    user: int


class Mute(Command, frozen=True):
    """Don't show what `user` posts and retweets."""

    user: int


class Unmute(Command, frozen=True):
    """Show what `user` posts and retweets again."""

    user: int


# The state of a block is `rules.BLOCK_STATE`, since other rules need it, too.
MUTED = Aggregate(False, lambda muted, event: isinstance(event, UserMuted))
"""Of a stream `mute-<muter>-<muted>`."""


def _decide_block(command: Block, context: CommandContext, read_state: ReadState) -> Decision:
    if command.user == context.actor:
        raise InvalidInput("self-block", "users can't block themselves; name another user")
    rules.require_active_actor(context, read_state)
    rules.require_active_user(command.user, read_state)
    stream = streams.block_stream(context.actor, command.user)
    active, block_count = read_state(stream, rules.BLOCK_STATE)
    if active:
        return NO_EVENTS
    return (StreamWrite(stream, (UserBlocked(context.actor, command.user, block_count + 1),)),)


def _decide_unblock(command: Unblock, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_known_user(command.user, read_state)
    stream = streams.block_stream(context.actor, command.user)
    if not read_state(stream, rules.BLOCK_STATE).active:
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnblocked(context.actor, command.user),)),)


def _decide_mute(command: Mute, context: CommandContext, read_state: ReadState) -> Decision:
    if command.user == context.actor:
        raise InvalidInput("self-mute", "users can't mute themselves; name another user")
    rules.require_active_actor(context, read_state)
    rules.require_active_user(command.user, read_state)
    stream = streams.mute_stream(context.actor, command.user)
    if read_state(stream, MUTED):
        return NO_EVENTS
    return (StreamWrite(stream, (UserMuted(context.actor, command.user),)),)


def _decide_unmute(command: Unmute, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_known_user(command.user, read_state)
    stream = streams.mute_stream(context.actor, command.user)
    if not read_state(stream, MUTED):
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnmuted(context.actor, command.user),)),)


BLOCK: Final[Decider[Block]] = Decider(Block, _decide_block, subject_id=subject_user)
UNBLOCK: Final[Decider[Unblock]] = Decider(Unblock, _decide_unblock, subject_id=subject_user)
MUTE: Final[Decider[Mute]] = Decider(Mute, _decide_mute, subject_id=subject_user)
UNMUTE: Final[Decider[Unmute]] = Decider(Unmute, _decide_unmute, subject_id=subject_user)
