"""Retweets: whether one user shows one post to their followers."""

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
from events.schema import PostRetweeted, PostUnretweeted


class Retweet(Command, frozen=True):
    """Show a post to one's followers; one's own, too."""

    post: int


class Unretweet(Command, frozen=True):
    """Take the retweet back. The post may be deleted by now."""

    post: int


RETWEETED = Aggregate(False, lambda retweeted, event: isinstance(event, PostRetweeted))
"""Of a stream `retweet-<post>-<user>`."""


def _decide_retweet(command: Retweet, context: CommandContext, read_state: ReadState) -> Decision:
    rules.require_active_actor(context, read_state)
    author = rules.require_open_post(context, command.post, read_state)
    stream = streams.retweet_stream(command.post, context.actor)
    if read_state(stream, RETWEETED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostRetweeted(command.post, context.actor, author),)),)


def _decide_unretweet(
    command: Unretweet, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    author = rules.require_author(command.post, read_state)
    stream = streams.retweet_stream(command.post, context.actor)
    if not read_state(stream, RETWEETED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostUnretweeted(command.post, context.actor, author),)),)


RETWEET: Final[Decider[Retweet]] = Decider(Retweet, _decide_retweet, subject_id=subject_post)
UNRETWEET: Final[Decider[Unretweet]] = Decider(
    Unretweet, _decide_unretweet, subject_id=subject_post
)
