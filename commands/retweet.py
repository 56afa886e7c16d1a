"""Retweets: whether one user passes one post on to their followers."""

from typing import Final

from commands import facts
from commands.decider import NOTHING, Aggregate, Asked, Change, Command, Decider, Decision, Look
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


def _retweet(command: Retweet, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    author = facts.open_to(asked, command.post, look)
    stream = streams.retweet(command.post, asked.actor)
    if look(stream, RETWEETED):
        return NOTHING
    return (Change(stream, (PostRetweeted(command.post, asked.actor, author),)),)


def _unretweet(command: Unretweet, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    author = facts.author_of(command.post, look)
    stream = streams.retweet(command.post, asked.actor)
    if not look(stream, RETWEETED):
        return NOTHING
    return (Change(stream, (PostUnretweeted(command.post, asked.actor, author),)),)


def _subject(command: Retweet | Unretweet, asked: Asked) -> int:
    return command.post


RETWEET: Final[Decider[Retweet]] = Decider("retweet", Retweet, _retweet, subject=_subject)
UNRETWEET: Final[Decider[Unretweet]] = Decider("unretweet", Unretweet, _unretweet, subject=_subject)
