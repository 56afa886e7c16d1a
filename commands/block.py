"""Blocks and mutes: who keeps whom away, and who doesn't want to see whom."""

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
from commands.errors import InvalidInput
from events import streams
from events.schema import Event, UserBlocked, UserMuted, UserUnblocked, UserUnmuted


class Block(Command, frozen=True):
    """Keep `user` away. Follows between the two end, for good (`commands.follow`)."""

    user: int


class Unblock(Command, frozen=True):
    """Let `user` near again."""

    user: int


class Mute(Command, frozen=True):
    """Don't show what `user` posts and passes on."""

    user: int


class Unmute(Command, frozen=True):
    """Show it again."""

    user: int


# The state of a block is `facts.BLOCKING`: other rules ask for it too.


def _evolve_mute(muted: bool, event: Event) -> bool:
    return isinstance(event, UserMuted)


MUTED = Aggregate(False, _evolve_mute)
"""Of a stream `mute-<muter>-<muted>`."""


def _decide_block(command: Block, asked: CommandContext, look: ReadState) -> Decision:
    if command.user == asked.actor:
        raise InvalidInput("self-block", "nobody blocks themselves; name another user")
    rules.require_active_actor(asked, look)
    rules.require_active_user(command.user, look)
    stream = streams.block_stream(asked.actor, command.user)
    holds, total = look(stream, rules.BLOCK_STATE)
    if holds:
        return NO_EVENTS
    return (StreamWrite(stream, (UserBlocked(asked.actor, command.user, total + 1),)),)


def _decide_unblock(command: Unblock, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    rules.require_known_user(command.user, look)
    stream = streams.block_stream(asked.actor, command.user)
    if not look(stream, rules.BLOCK_STATE).active:
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnblocked(asked.actor, command.user),)),)


def _decide_mute(command: Mute, asked: CommandContext, look: ReadState) -> Decision:
    if command.user == asked.actor:
        raise InvalidInput("self-mute", "nobody mutes themselves; name another user")
    rules.require_active_actor(asked, look)
    rules.require_active_user(command.user, look)
    stream = streams.mute_stream(asked.actor, command.user)
    if look(stream, MUTED):
        return NO_EVENTS
    return (StreamWrite(stream, (UserMuted(asked.actor, command.user),)),)


def _decide_unmute(command: Unmute, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    rules.require_known_user(command.user, look)
    stream = streams.mute_stream(asked.actor, command.user)
    if not look(stream, MUTED):
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnmuted(asked.actor, command.user),)),)


def _subject_user(command: Block | Unblock | Mute | Unmute, asked: CommandContext) -> int:
    return command.user


BLOCK: Final[Decider[Block]] = Decider("block", Block, _decide_block, subject_id=_subject_user)
UNBLOCK: Final[Decider[Unblock]] = Decider(
    "unblock", Unblock, _decide_unblock, subject_id=_subject_user
)
MUTE: Final[Decider[Mute]] = Decider("mute", Mute, _decide_mute, subject_id=_subject_user)
UNMUTE: Final[Decider[Unmute]] = Decider("unmute", Unmute, _decide_unmute, subject_id=_subject_user)
