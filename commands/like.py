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
    subject_post,
)
from events import streams
from events.schema import PostLiked, PostUnliked


class Like(Command, frozen=True):
    """Like a post; one's own too."""

    post: int


class Unlike(Command, frozen=True):
    """Take the like back. The post may be deleted by now."""

    post: int


LIKED = Aggregate(False, lambda liked, event: isinstance(event, PostLiked))
"""Of a stream `like-<post>-<user>`."""


def _decide_like(command: Like, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    author = rules.require_open_post(context, command.post, read_state)
    stream = streams.like_stream(command.post, context.actor)
    if read_state(stream, LIKED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostLiked(command.post, context.actor, author),)),)


def _decide_unlike(command: Unlike, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    author = rules.require_author(command.post, read_state)
    stream = streams.like_stream(command.post, context.actor)
    if not read_state(stream, LIKED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostUnliked(command.post, context.actor, author),)),)


LIKE: Final[Decider[Like]] = Decider(Like, _decide_like, subject_id=subject_post)
UNLIKE: Final[Decider[Unlike]] = Decider(Unlike, _decide_unlike, subject_id=subject_post)
