"""Pins: which of a user's own posts stand at the top of the profile."""

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
    subject_post,
)
from commands.errors import InvalidInput, NotAllowed
from events import streams
from events.schema import Event, PostPinned, PostUnpinned

MAX_PINS: Final = 5


class Pin(Command, frozen=True):
    """Show a post of one's own at the top of the profile."""

    post: int


class Unpin(Command, frozen=True):
    """Show it there no more. It may be deleted by now."""

    post: int


def _evolve(pinned: tuple[int, ...], event: Event) -> tuple[int, ...]:
    match event:
        case PostPinned(post=post):
            return (*pinned, post)
        case PostUnpinned(post=post):
            return tuple(one for one in pinned if one != post)
    return pinned


PINNED: Final[Aggregate[tuple[int, ...]]] = Aggregate((), _evolve)
"""Of a stream `pins-<author>`: the pinned posts, the newest pin last. Some may be deleted."""


def _decide_pin(command: Pin, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    if rules.require_open_post(context, command.post, read_state) != context.actor:
        message = f"post {command.post} has another author; one pins one's own posts"
        raise NotAllowed("not-author", message)
    stream = streams.pins_stream(context.actor)
    pinned = read_state(stream, PINNED)
    if command.post in pinned:
        return NO_EVENTS
    ended: tuple[int, ...] = ()
    if len(pinned) >= MAX_PINS:  # deleted posts make room
        ended = tuple(post for post in pinned if _is_deleted(post, read_state))
        if len(pinned) - len(ended) >= MAX_PINS:
            message = f"{MAX_PINS} posts are pinned, and that is the most; unpin one first"
            raise InvalidInput("pins-too-many", message)
    unpinned = (PostUnpinned(post, context.actor) for post in ended)
    return (StreamWrite(stream, (*unpinned, PostPinned(command.post, context.actor))),)


def _is_deleted(post: int, read_state: ReadState) -> bool:
    return read_state(streams.post_stream(post), rules.POST_STATUS).deleted


def _decide_unpin(command: Unpin, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_author(command.post, read_state)
    stream = streams.pins_stream(context.actor)
    if command.post not in read_state(stream, PINNED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostUnpinned(command.post, context.actor),)),)


PIN: Final[Decider[Pin]] = Decider(Pin, _decide_pin, subject_id=subject_post)
UNPIN: Final[Decider[Unpin]] = Decider(Unpin, _decide_unpin, subject_id=subject_post)
