"""What a log tells: the facts that its events lead to, and whether they can have happened."""

from collections.abc import Iterable

from events import schema
from events.envelope import RecordedEvent
from tests.support.command_model import NetworkFacts, no_facts

BlockCounts = dict[tuple[int, int], int]


def facts_from_events(history: Iterable[RecordedEvent]) -> NetworkFacts:
    """Fold events into facts, checking that each could happen where it stands.

    It doesn't share the deciders' folds. What two users do at the same time may cross (a like that
    lands after the post's end), so only what a stream's own order and the existence of things
    promise is checked.
    """
    fold = _FactsFold()
    for recorded in history:
        fold.apply_event(recorded.event)
    follows = {
        pair
        for pair, blocks in fold.follow_block_counts.items()
        if blocks == fold.blocks_between(*pair)
    }
    fold.facts.follows.update(follows)
    return fold.facts


class _FactsFold:
    def __init__(self) -> None:
        self.facts = no_facts()
        self.claims: dict[str, int] = {}
        self.follow_block_counts: dict[tuple[int, int], int] = {}
        self._blocks: BlockCounts = {}

    def blocks_between(self, one: int, other: int) -> int:
        return self._blocks.get((one, other), 0) + self._blocks.get((other, one), 0)

    def apply_event(self, event: schema.Event) -> None:
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
                assert user not in facts.deleted
                facts.names[user] = name
            case schema.UserDeleted(user=user):
                assert user in facts.names
                assert user not in facts.deleted
                facts.deleted.add(user)
            case schema.PostCreated() | schema.PostEdited() | schema.PostDeleted():
                self._apply_post_event(event)
            case _:
                self._apply_relation_event(event)

    def _apply_post_event(
        self, event: schema.PostCreated | schema.PostEdited | schema.PostDeleted
    ) -> None:
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
        assert post not in facts.deleted
        if isinstance(event, schema.PostEdited):
            assert facts.texts[post] != event.text
            facts.texts[post] = event.text
        else:
            facts.deleted.add(post)

    def _apply_relation_event(self, event: schema.Event) -> None:
        facts = self.facts
        match event:
            case schema.PostLiked(post=post, user=user, author=author):
                assert facts.authors[post] == author
                _add_new_pair(facts.likes, post, user)
            case schema.PostRetweeted(post=post, user=user, author=author):
                assert facts.authors[post] == author
                _add_new_pair(facts.retweets, post, user)
            case schema.PostUnliked(post=post, user=user):
                facts.likes.remove((post, user))
            case schema.PostUnretweeted(post=post, user=user):
                facts.retweets.remove((post, user))
            case schema.UserFollowed(followee=followee, follower=follower, blocks=blocks):
                assert {followee, follower} <= facts.names.keys()
                assert self.follow_block_counts.get((follower, followee)) != blocks
                assert blocks <= self.blocks_between(follower, followee)
                self.follow_block_counts[(follower, followee)] = blocks
            case schema.UserUnfollowed(followee=followee, follower=follower):
                del self.follow_block_counts[(follower, followee)]
            case schema.UserBlocked(blocker=blocker, blocked=blocked, count=count):
                assert {blocker, blocked} <= facts.names.keys()
                assert count == self._blocks.get((blocker, blocked), 0) + 1
                self._blocks[(blocker, blocked)] = count
                _add_new_pair(facts.blocks, blocker, blocked)
            case schema.UserUnblocked(blocker=blocker, blocked=blocked):
                facts.blocks.remove((blocker, blocked))
            case schema.UserMuted(muter=muter, muted=muted):
                assert {muter, muted} <= facts.names.keys()
                _add_new_pair(facts.mutes, muter, muted)
            case schema.UserUnmuted(muter=muter, muted=muted):
                facts.mutes.remove((muter, muted))
            case _:
                raise AssertionError(f"{event} was not to happen")


def _add_new_pair(pairs: set[tuple[int, int]], one: int, other: int) -> None:
    assert (one, other) not in pairs
    pairs.add((one, other))
