"""Followed hashtags: which ones a user wants to come back to. No other user sees them."""

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
from commands.errors import InvalidInput
from commands.text import find_entities
from events import streams
from events.hashtags import fold_hashtag
from events.schema import Event, HashtagFollowed, HashtagUnfollowed

MAX_FOLLOWED_HASHTAGS: Final = 200


class FollowHashtag(Command, frozen=True):
    """Follow a hashtag, in whatever case it is written, with or without its #."""

    tag: str


class UnfollowHashtag(Command, frozen=True):
    """Follow it no more."""

    tag: str


def _evolve(followed: frozenset[str], event: Event) -> frozenset[str]:
    match event:
        case HashtagFollowed(tag=tag):
            return followed | {tag}
        case HashtagUnfollowed(tag=tag):
            return followed - {tag}
    return followed


FOLLOWED_HASHTAGS: Final[Aggregate[frozenset[str]]] = Aggregate(frozenset(), _evolve)
"""Of a stream `hashtags-<user>`: the folded hashtags."""


def checked_hashtag(written: str) -> str:
    """A hashtag as it is looked up. Raises `InvalidInput` for what would be none in a text."""
    name = written.removeprefix("#")
    if len(name) > 280 or find_entities(f"#{name}").hashtags != (name,):
        message = f"{written[:40]!r} is no hashtag; give letters, digits and _, not digits alone"
        raise InvalidInput("hashtag-invalid", message)
    return fold_hashtag(name)


def _decide_follow(
    command: FollowHashtag, context: CommandContext, read_state: ReadState
) -> Decision:
    tag = checked_hashtag(command.tag)
    rules.require_active_actor(context, read_state)
    stream = streams.hashtags_stream(context.actor)
    followed = read_state(stream, FOLLOWED_HASHTAGS)
    if tag in followed:
        return NO_EVENTS
    if len(followed) >= MAX_FOLLOWED_HASHTAGS:
        message = f"you follow {MAX_FOLLOWED_HASHTAGS} hashtags, and that is the most; drop one"
        raise InvalidInput("hashtags-too-many", message)
    return (StreamWrite(stream, (HashtagFollowed(context.actor, tag),)),)


def _decide_unfollow(
    command: UnfollowHashtag, context: CommandContext, read_state: ReadState
) -> Decision:
    tag = checked_hashtag(command.tag)
    rules.require_active_actor(context, read_state)
    stream = streams.hashtags_stream(context.actor)
    if tag not in read_state(stream, FOLLOWED_HASHTAGS):
        return NO_EVENTS
    return (StreamWrite(stream, (HashtagUnfollowed(context.actor, tag),)),)


FOLLOW_HASHTAG: Final[Decider[FollowHashtag]] = Decider(FollowHashtag, _decide_follow)
UNFOLLOW_HASHTAG: Final[Decider[UnfollowHashtag]] = Decider(UnfollowHashtag, _decide_unfollow)
