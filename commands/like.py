"""Likes: whether one user likes one post."""

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
from events import streams
from events.schema import Event, PostLiked, PostUnliked


class Like(Command, frozen=True):
    """Like a post; one's own too."""

    post: int


class Unlike(Command, frozen=True):
    """Take the like back, also from a post that was deleted meanwhile."""

    post: int


def _evolve(liked: bool, event: Event) -> bool:
    return isinstance(event, PostLiked)


LIKED = Aggregate(False, _evolve)
"""Of a stream `like-<post>-<user>`."""


def _decide_like(command: Like, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    author = rules.require_open_post(asked, command.post, look)
    stream = streams.like_stream(command.post, asked.actor)
    if look(stream, LIKED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostLiked(command.post, asked.actor, author),)),)


def _decide_unlike(command: Unlike, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    author = rules.require_author(command.post, look)
    stream = streams.like_stream(command.post, asked.actor)
    if not look(stream, LIKED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostUnliked(command.post, asked.actor, author),)),)


def _subject_post(command: Like | Unlike, asked: CommandContext) -> int:
    return command.post


LIKE: Final[Decider[Like]] = Decider("like", Like, _decide_like, subject_id=_subject_post)
UNLIKE: Final[Decider[Unlike]] = Decider("unlike", Unlike, _decide_unlike, subject_id=_subject_post)
