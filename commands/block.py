"""Blocks and mutes: which users a user keeps away, and which they don't want to see."""

from typing import Final, NamedTuple

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
from events.ids.snowflake import LAST_ID, time_ms
from events.schema import Event, UserBlocked, UserMuted, UserUnblocked, UserUnmuted


class Block(Command, frozen=True):
    """Keep `user` away. Follows between the two end, for good (`commands.follow`)."""

    user: int


class Unblock(Command, frozen=True):
    """End the block. Follows that it ended stay ended."""

    user: int


class Mute(Command, frozen=True):
    """Don't show what `user` posts and retweets, nor (unless `notifications` is False) notify of
    what `user` does.

    It ends at the Unix ms `until`, or after some `seconds`, if one of them is given.
    """

    user: int
    until: int | None = None
    seconds: int | None = None
    notifications: bool | None = None


class Unmute(Command, frozen=True):
    """Show what `user` posts and retweets again."""

    user: int


# The state of a block is `rules.BLOCK_STATE`, since other rules need it, too.
class MuteState(NamedTuple):
    """A mute, whose end (Unix ms, 0 for none) may have passed."""

    muted: bool = False
    until: int = 0
    notifications: bool = False


def _evolve_mute(state: MuteState, event: Event) -> MuteState:
    if isinstance(event, UserMuted):
        return MuteState(True, event.until, event.notifications)
    return MuteState()


MUTE_STATE = Aggregate(MuteState(), _evolve_mute)
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


def _end_of_mute(command: Mute, now_ms: int) -> int:
    """In Unix ms; 0 where there is none. Raises `InvalidInput`."""
    if command.until is None and command.seconds is None:
        return 0
    if command.until is not None and command.seconds is not None:
        raise InvalidInput("mute-invalid", "give `until` or `seconds`, not both")
    until = now_ms + 1000 * command.seconds if command.seconds is not None else command.until
    if until is None or not now_ms < until <= time_ms(LAST_ID):
        message = (
            "a mute ends at a time to come, some decades from now at most; without one it lasts"
        )
        raise InvalidInput("mute-invalid", message)
    return until


def _decide_mute(command: Mute, context: CommandContext, read_state: ReadState) -> Decision:
    if command.user == context.actor:
        raise InvalidInput("self-mute", "users can't mute themselves; name another user")
    rules.require_active_actor(context, read_state)
    rules.require_active_user(command.user, read_state)
    stream = streams.mute_stream(context.actor, command.user)
    # Of the command's own time, which an imported line has, too.
    until = _end_of_mute(command, time_ms(context.new_id))
    wanted = MuteState(True, until, command.notifications is not False)
    if read_state(stream, MUTE_STATE) == wanted:
        return NO_EVENTS
    muted = UserMuted(context.actor, command.user, wanted.until, wanted.notifications)
    return (StreamWrite(stream, (muted,)),)


def _decide_unmute(command: Unmute, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_known_user(command.user, read_state)
    stream = streams.mute_stream(context.actor, command.user)
    if not read_state(stream, MUTE_STATE).muted:
        return NO_EVENTS
    return (StreamWrite(stream, (UserUnmuted(context.actor, command.user),)),)


BLOCK: Final[Decider[Block]] = Decider(Block, _decide_block, subject_id=subject_user)
UNBLOCK: Final[Decider[Unblock]] = Decider(Unblock, _decide_unblock, subject_id=subject_user)
MUTE: Final[Decider[Mute]] = Decider(Mute, _decide_mute, subject_id=subject_user)
UNMUTE: Final[Decider[Unmute]] = Decider(Unmute, _decide_unmute, subject_id=subject_user)
