"""What a log tells: the facts that its events lead to, and whether they can have happened."""

from collections.abc import Iterable

from events import schema
from events.recorded import Recorded
from tests.laws.network import Facts, nothing

Blocks = dict[tuple[int, int], int]


def facts_of(history: Iterable[Recorded]) -> Facts:
    """Fold events into facts, checking that each could happen where it stands.

    It doesn't share the deciders' folds. What two users do at the same time may cross (a like that
    lands after the post's end), so only what a stream's own order and the existence of things
    promise is checked.
    """
    told = _Told()
    for recorded in history:
        told.take(recorded.event)
    follows = {pair for pair, blocks in told.followed.items() if blocks == told.blocks(*pair)}
    told.facts.follows.update(follows)
    return told.facts


class _Told:
    def __init__(self) -> None:
        self.facts = nothing()
        self.claims: dict[str, int] = {}
        self.followed: dict[tuple[int, int], int] = {}
        self._blocks: Blocks = {}

    def blocks(self, one: int, other: int) -> int:
        return self._blocks.get((one, other), 0) + self._blocks.get((other, one), 0)

    def take(self, event: schema.Event) -> None:
        facts = self.facts
        match event:
            case schema.HandleClaimed(handle=handle, user=user):
                assert handle not in facts.handles
                self.claims[handle] = user
            case schema.UserRegistered(user=user, handle=handle, name=name):
                assert self.claims[handle] == user
                assert user not in facts.names
                facts.handles[handle] = user
                facts.names[user] = name
            case schema.ProfileChanged(user=user, name=name):
                assert user in facts.names
                assert user not in facts.gone
                facts.names[user] = name
            case schema.UserDeleted(user=user):
                assert user in facts.names
                assert user not in facts.gone
                facts.gone.add(user)
            case schema.PostCreated() | schema.PostEdited() | schema.PostDeleted():
                self._post(event)
            case _:
                self._relation(event)

    def _post(self, event: schema.PostCreated | schema.PostEdited | schema.PostDeleted) -> None:
        facts, post = self.facts, event.post
        if isinstance(event, schema.PostCreated):
            assert event.author in facts.names
            assert post not in facts.texts
            facts.texts[post], facts.authors[post] = event.text, event.author
            if event.reply_to is not None:
                assert event.reply_to in facts.texts
                facts.answers.add((post, event.reply_to))
            return
        assert facts.authors[post] == event.author
        assert post not in facts.gone
        if isinstance(event, schema.PostEdited):
            assert facts.texts[post] != event.text
            facts.texts[post] = event.text
        else:
            facts.gone.add(post)

    def _relation(self, event: schema.Event) -> None:
        facts = self.facts
        match event:
            case schema.PostLiked(post=post, user=user, author=author):
                assert facts.authors[post] == author
                _add(facts.likes, post, user)
            case schema.PostRetweeted(post=post, user=user, author=author):
                assert facts.authors[post] == author
                _add(facts.retweets, post, user)
            case schema.PostUnliked(post=post, user=user):
                facts.likes.remove((post, user))
            case schema.PostUnretweeted(post=post, user=user):
                facts.retweets.remove((post, user))
            case schema.UserFollowed(followee=followee, follower=follower, blocks=blocks):
                assert {followee, follower} <= facts.names.keys()
                assert self.followed.get((follower, followee)) != blocks
                assert blocks <= self.blocks(follower, followee)
                self.followed[(follower, followee)] = blocks
            case schema.UserUnfollowed(followee=followee, follower=follower):
                del self.followed[(follower, followee)]
            case schema.UserBlocked(blocker=blocker, blocked=blocked, count=count):
                assert {blocker, blocked} <= facts.names.keys()
                assert count == self._blocks.get((blocker, blocked), 0) + 1
                self._blocks[(blocker, blocked)] = count
                _add(facts.blocks, blocker, blocked)
            case schema.UserUnblocked(blocker=blocker, blocked=blocked):
                facts.blocks.remove((blocker, blocked))
            case schema.UserMuted(muter=muter, muted=muted):
                assert {muter, muted} <= facts.names.keys()
                _add(facts.mutes, muter, muted)
            case schema.UserUnmuted(muter=muter, muted=muted):
                facts.mutes.remove((muter, muted))
            case _:
                raise AssertionError(f"{event} was not to happen")


def _add(pairs: set[tuple[int, int]], one: int, other: int) -> None:
    assert (one, other) not in pairs
    pairs.add((one, other))
