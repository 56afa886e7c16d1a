"""Likes: whether one user likes one post."""

from typing import Final

from commands import facts
from commands.decider import NOTHING, Aggregate, Asked, Change, Command, Decider, Decision, Look
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


def _like(command: Like, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    author = facts.open_to(asked, command.post, look)
    stream = streams.like(command.post, asked.actor)
    if look(stream, LIKED):
        return NOTHING
    return (Change(stream, (PostLiked(command.post, asked.actor, author),)),)


def _unlike(command: Unlike, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    author = facts.author_of(command.post, look)
    stream = streams.like(command.post, asked.actor)
    if not look(stream, LIKED):
        return NOTHING
    return (Change(stream, (PostUnliked(command.post, asked.actor, author),)),)


def _subject(command: Like | Unlike, asked: Asked) -> int:
    return command.post


LIKE: Final[Decider[Like]] = Decider("like", Like, _like, subject=_subject)
UNLIKE: Final[Decider[Unlike]] = Decider("unlike", Unlike, _unlike, subject=_subject)
