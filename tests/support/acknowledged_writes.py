"""Whether what people were told is what a log holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent
from events.log import EventLog
from events.schema import (
    PostCreated,
    PostLiked,
    PostRetweeted,
    PostUnliked,
    PostUnretweeted,
    UserFollowed,
    UserRegistered,
    UserUnfollowed,
)
from events.sealed_text import OpenText, as_written, open_stored
from streams.export.verify import verify_log
from tests.support.retrying_client import RetryingClient

RelationKey = tuple[str, int, int]
"""(what, who, about what)."""


def all_events(log: EventLog, open_text: OpenText = as_written) -> list[RecordedEvent]:
    """All events of a whole log, their texts opened."""
    assert list(verify_log(log)) == []
    found = (open_stored(stored, open_text) for stored in log.read_all(limit=10**7))
    return [EVENT_CODEC.decode_stored(stored) for stored in found]


def relation_change(recorded: RecordedEvent) -> tuple[RelationKey, bool] | None:
    """The relation that an event begins or ends."""
    match recorded.event:
        case PostLiked(post=post, user=user):
            return ("like", user, post), True
        case PostUnliked(post=post, user=user):
            return ("like", user, post), False
        case PostRetweeted(post=post, user=user):
            return ("retweet", user, post), True
        case PostUnretweeted(post=post, user=user):
            return ("retweet", user, post), False
        case UserFollowed(followee=followee, follower=follower):
            return ("follow", follower, followee), True
        case UserUnfollowed(followee=followee, follower=follower):
            return ("follow", follower, followee), False
    return None


def check_posts(events: list[RecordedEvent], people: Iterable[RetryingClient]) -> None:
    """Every acknowledged post is there once, with its text, no later than was said."""
    created = [each for each in events if isinstance(each.event, PostCreated)]
    texts = Counter(each.event.text for each in created)  # type: ignore[attr-defined]
    by_id = {each.id: each for each in created}
    for person in people:
        for text, answer in person.acknowledged_posts.items():
            assert texts[text] == 1, text
            found = by_id[int(answer.body["id"])]
            assert isinstance(found.event, PostCreated)
            assert (found.event.text, found.event.author) == (text, person.id)
            assert found.position <= answer.position


def check_relations(events: list[RecordedEvent], people: Iterable[RetryingClient]) -> None:
    """Every relation begins and ends in turn, and is at the end as its person was told."""
    turns: dict[RelationKey, list[bool]] = defaultdict(list)
    for recorded in events:
        if found := relation_change(recorded):
            turns[found[0]].append(found[1])
    for relation, seen in turns.items():
        assert seen == [place % 2 == 0 for place in range(len(seen))], relation
    for person in people:
        for (what, about), holds in person.acknowledged_relations.items():
            assert turns[what, person.id, about][-1] is holds, (person.handle, what, about)


def check_handles(events: list[RecordedEvent], people: Iterable[RetryingClient]) -> None:
    """Every handle belongs to one account, and each person who was told so has theirs."""
    held = Counter(each.event.handle for each in events if isinstance(each.event, UserRegistered))
    assert set(held.values()) <= {1}
    registered = {
        each.event.handle: each.event.user
        for each in events
        if isinstance(each.event, UserRegistered)
    }
    for person in people:
        assert registered[person.handle] == person.id
