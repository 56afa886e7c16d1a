"""Retweets: whether one user passes one post on to their followers."""

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
from events.schema import Event, PostRetweeted, PostUnretweeted


class Retweet(Command, frozen=True):
    """Pass a post on; one's own too."""

    post: int


class Unretweet(Command, frozen=True):
    """Take the retweet back, also of a post that was deleted meanwhile."""

    post: int


def _evolve(retweeted: bool, event: Event) -> bool:
    return isinstance(event, PostRetweeted)


RETWEETED = Aggregate(False, _evolve)
"""Of a stream `retweet-<post>-<user>`."""


def _decide_retweet(command: Retweet, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    author = rules.require_open_post(asked, command.post, look)
    stream = streams.retweet_stream(command.post, asked.actor)
    if look(stream, RETWEETED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostRetweeted(command.post, asked.actor, author),)),)


def _decide_unretweet(command: Unretweet, asked: CommandContext, look: ReadState) -> Decision:
    rules.require_active_actor(asked, look)
    author = rules.require_author(command.post, look)
    stream = streams.retweet_stream(command.post, asked.actor)
    if not look(stream, RETWEETED):
        return NO_EVENTS
    return (StreamWrite(stream, (PostUnretweeted(command.post, asked.actor, author),)),)


def _subject_post(command: Retweet | Unretweet, asked: CommandContext) -> int:
    return command.post


RETWEET: Final[Decider[Retweet]] = Decider(
    "retweet", Retweet, _decide_retweet, subject_id=_subject_post
)
UNRETWEET: Final[Decider[Unretweet]] = Decider(
    "unretweet", Unretweet, _decide_unretweet, subject_id=_subject_post
)
