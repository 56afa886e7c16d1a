"""Blocks and mutes: who keeps whom away, and who doesn't want to see whom."""

from typing import Final

from commands import facts
from commands.decider import NOTHING, Aggregate, Asked, Change, Command, Decider, Decision, Look
from commands.errors import Invalid
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


def _block(command: Block, asked: Asked, look: Look) -> Decision:
    if command.user == asked.actor:
        raise Invalid("self-block", "nobody blocks themselves; name another user")
    facts.may_act(asked, look)
    facts.user_exists(command.user, look)
    stream = streams.block(asked.actor, command.user)
    holds, total = look(stream, facts.BLOCKING)
    if holds:
        return NOTHING
    return (Change(stream, (UserBlocked(asked.actor, command.user, total + 1),)),)


def _unblock(command: Unblock, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    facts.user_existed(command.user, look)
    stream = streams.block(asked.actor, command.user)
    if not look(stream, facts.BLOCKING).holds:
        return NOTHING
    return (Change(stream, (UserUnblocked(asked.actor, command.user),)),)


def _mute(command: Mute, asked: Asked, look: Look) -> Decision:
    if command.user == asked.actor:
        raise Invalid("self-mute", "nobody mutes themselves; name another user")
    facts.may_act(asked, look)
    facts.user_exists(command.user, look)
    stream = streams.mute(asked.actor, command.user)
    if look(stream, MUTED):
        return NOTHING
    return (Change(stream, (UserMuted(asked.actor, command.user),)),)


def _unmute(command: Unmute, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    facts.user_existed(command.user, look)
    stream = streams.mute(asked.actor, command.user)
    if not look(stream, MUTED):
        return NOTHING
    return (Change(stream, (UserUnmuted(asked.actor, command.user),)),)


def _subject(command: Block | Unblock | Mute | Unmute, asked: Asked) -> int:
    return command.user


BLOCK: Final[Decider[Block]] = Decider("block", Block, _block, subject=_subject)
UNBLOCK: Final[Decider[Unblock]] = Decider("unblock", Unblock, _unblock, subject=_subject)
MUTE: Final[Decider[Mute]] = Decider("mute", Mute, _mute, subject=_subject)
UNMUTE: Final[Decider[Unmute]] = Decider("unmute", Unmute, _unmute, subject=_subject)
