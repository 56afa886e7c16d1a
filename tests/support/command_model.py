"""A social network in a hundred lines of sets, to compare the real one with."""

from typing import NamedTuple

from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.follow import Follow, RemoveFollower, Unfollow
from commands.like import Like, Unlike
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.retweet import Retweet, Unretweet
from commands.user import ChangeProfile, DeleteAccount, Register

Pairs = set[tuple[int, int]]

REFUSED, UNCHANGED, CHANGED = "refused", "same", "changed"


class NetworkFacts(NamedTuple):
    """What holds in a network: profiles and texts by id, pairs of (post, user) or (who, whom)."""

    names: dict[int, str]
    handles: dict[str, int]
    deleted: set[int]
    texts: dict[int, str]
    authors: dict[int, int]
    answers: Pairs
    likes: Pairs
    retweets: Pairs
    follows: Pairs
    blocks: Pairs
    mutes: Pairs


def no_facts() -> NetworkFacts:
    """What holds before anything happened."""
    return NetworkFacts({}, {}, set(), {}, {}, set(), set(), set(), set(), set(), set())


class CommandModel:
    """The rules as a reader of the issue would write them down, without events."""

    def __init__(self) -> None:
        self.facts = no_facts()

    def apply_command(self, command: Command, actor: int, id: int) -> str:
        """Do a command; what it makes gets the id. REFUSED, SAME or CHANGED."""
        facts = self.facts
        match command:
            case Register(handle=handle, name=name):
                if handle.lower() in facts.handles:
                    return REFUSED
                facts.handles[handle.lower()] = id
                facts.names[id] = name
                return CHANGED
            case DeleteAccount() if actor in facts.deleted:
                return UNCHANGED
        if actor not in facts.names or actor in facts.deleted:
            return REFUSED
        match command:
            case ChangeProfile(name=new_name):
                changed = facts.names[actor] != new_name
                facts.names[actor] = new_name or ""
                return CHANGED if changed else UNCHANGED
            case DeleteAccount():
                facts.deleted.add(actor)
                return CHANGED
        return self._with_posts(command, actor, id)

    def _with_posts(self, command: Command, actor: int, id: int) -> str:
        facts = self.facts
        match command:
            case CreatePost(text=text, reply_to=parent) | Comment(text=text, post=parent):
                if not 1 <= len(text) <= 280 or (
                    parent is not None and self._closed_to(parent, actor)
                ):
                    return REFUSED
                facts.texts[id], facts.authors[id] = text, actor
                if parent is not None:
                    facts.answers.add((id, parent))
                return CHANGED
            case EditPost(post=post, text=str(text)):
                if facts.authors.get(post) != actor or not 1 <= len(text) <= 280:
                    return REFUSED
                if post in facts.deleted:
                    return REFUSED
                changed = facts.texts[post] != text
                facts.texts[post] = text
                return CHANGED if changed else UNCHANGED
            case DeletePost(post=post):
                if facts.authors.get(post) != actor:
                    return REFUSED
                changed = post not in facts.deleted
                facts.deleted.add(post)
                return CHANGED if changed else UNCHANGED
            case Like(post=post) | Retweet(post=post):
                pairs = facts.likes if isinstance(command, Like) else facts.retweets
                return REFUSED if self._closed_to(post, actor) else _add_pair(pairs, (post, actor))
            case Unlike(post=post) | Unretweet(post=post):
                pairs = facts.likes if isinstance(command, Unlike) else facts.retweets
                return REFUSED if post not in facts.authors else _remove_pair(pairs, (post, actor))
        return self._with_users(command, actor)

    def _with_users(self, command: Command, actor: int) -> str:
        facts = self.facts
        match command:
            case Follow(user=user):
                apart = {(actor, user), (user, actor)} & facts.blocks
                return (
                    REFUSED
                    if self._not_addressable(user, actor) or apart
                    else _add_pair(facts.follows, (actor, user))
                )
            case Block(user=user):
                if self._not_addressable(user, actor):
                    return REFUSED
                facts.follows.difference_update({(actor, user), (user, actor)})
                return _add_pair(facts.blocks, (actor, user))
            case Mute(user=user):
                return (
                    REFUSED
                    if self._not_addressable(user, actor)
                    else _add_pair(facts.mutes, (actor, user))
                )
            case RemoveFollower(user=user):
                return (
                    REFUSED
                    if user not in facts.names
                    else _remove_pair(facts.follows, (user, actor))
                )
            case Unfollow(user=user):
                pairs = facts.follows
            case Unblock(user=user):
                pairs = facts.blocks
            case Unmute(user=user):
                pairs = facts.mutes
            case _:
                raise AssertionError(f"the model doesn't know {command}")
        return REFUSED if user not in facts.names else _remove_pair(pairs, (actor, user))

    def _closed_to(self, post: int, actor: int) -> bool:
        """Whether no user, or not this one, may react to a post."""
        author = self.facts.authors.get(post)
        gone = author is None or {post, author} & self.facts.deleted
        apart = author is not None and {(author, actor), (actor, author)} & self.facts.blocks
        return bool(gone or apart)

    def _not_addressable(self, user: int, actor: int) -> bool:
        return user == actor or user not in self.facts.names or user in self.facts.deleted


def _add_pair(pairs: Pairs, pair: tuple[int, int]) -> str:
    if pair in pairs:
        return UNCHANGED
    pairs.add(pair)
    return CHANGED


def _remove_pair(pairs: Pairs, pair: tuple[int, int]) -> str:
    if pair not in pairs:
        return UNCHANGED
    pairs.remove(pair)
    return CHANGED
