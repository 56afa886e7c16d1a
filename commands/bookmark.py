"""Bookmarks: which posts a user keeps to read again. No other user sees them."""

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
from events.schema import PostBookmarked, PostUnbookmarked


class Bookmark(Command, frozen=True):
    """Keep a post."""

    post: int


class Unbookmark(Command, frozen=True):
    """Keep a post no more. It may be deleted by now."""

    post: int


BOOKMARKED = Aggregate(False, lambda kept, event: isinstance(event, PostBookmarked))
"""Of a stream `bookmark-<post>-<user>`."""


def _decide_bookmark(command: Bookmark, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_open_post(context, command.post, read_state)
    stream = streams.bookmark_stream(command.post, context.actor)
    if read_state(stream, BOOKMARKED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostBookmarked(command.post, context.actor),)),)


def _decide_unbookmark(
    command: Unbookmark, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_author(command.post, read_state)
    stream = streams.bookmark_stream(command.post, context.actor)
    if not read_state(stream, BOOKMARKED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostUnbookmarked(command.post, context.actor),)),)


BOOKMARK: Final[Decider[Bookmark]] = Decider(Bookmark, _decide_bookmark, subject_id=subject_post)
UNBOOKMARK: Final[Decider[Unbookmark]] = Decider(
    Unbookmark, _decide_unbookmark, subject_id=subject_post
)
