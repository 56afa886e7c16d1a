"""Whom notifications concern, from events to lists."""

from collections.abc import Sequence

from events import schema
from events.ids.snowflake import compose_id
from projections.notifications import (
    MENTIONS,
    NOTICES,
    NOTIFICATION_KINDS,
    PENDING_ANSWERS,
    MentionRow,
    NotificationEntry,
    Recipient,
    list_notifications,
    notification_id,
    notification_ms,
)
from projections.pages import PageRequest
from projections.store import ReadStore
from tests.support.projection_dsl import NOON_MS, EventWithTime, given, id_at

ANN, BEN = 1, 2
NEWEST = PageRequest()
POST, ANSWER = id_at(1), id_at(2)
POSTED = schema.PostCreated(post=POST, author=ANN, text="t")
ANSWERED = schema.PostCreated(
    post=ANSWER, author=BEN, text="t", reply_to=POST, mentions=("Ann", "ann")
)


async def all_shown(found: Sequence[NotificationEntry]) -> list[NotificationEntry]:
    return list(found)


def listed(*events: EventWithTime, request: PageRequest = NEWEST) -> list[tuple[str, int, int]]:
    async def read(store: ReadStore) -> list[tuple[str, int, int]]:
        page = await list_notifications(
            store, Recipient(ANN, "ann"), request, NOTIFICATION_KINDS, all_shown
        )
        return [one[1:] for one in page.found]

    return given(*events).query(NOTICES, read)


def test_each_kind_is_listed_newest_first_and_an_answer_that_mentions_once() -> None:
    assert listed(
        POSTED,
        ANSWERED,
        (id_at(3), schema.PostLiked(post=POST, user=BEN, author=ANN)),
        (id_at(4), schema.PostRetweeted(post=POST, user=BEN, author=ANN)),
        (id_at(5), schema.UserFollowed(followee=ANN, follower=BEN)),
    ) == [("follow", BEN, 0), ("retweet", BEN, POST), ("like", BEN, POST), ("mention", BEN, ANSWER)]


def test_what_was_undone_and_what_one_did_oneself_is_not_listed() -> None:
    own = schema.PostCreated(post=ANSWER, author=ANN, text="t", reply_to=POST, mentions=("ann",))
    assert not listed(
        POSTED,
        own,
        schema.PostLiked(post=POST, user=ANN, author=ANN),
        schema.PostLiked(post=POST, user=BEN, author=ANN),
        schema.PostUnliked(post=POST, user=BEN, author=ANN),
        schema.UserFollowed(followee=ANN, follower=BEN),
        schema.UserUnfollowed(followee=ANN, follower=BEN),
    )


def test_an_answer_that_arrives_before_its_post_is_listed_once_the_post_is_there() -> None:
    assert listed(ANSWERED, POSTED) == listed(POSTED, ANSWERED)
    deleted = schema.PostDeleted(post=ANSWER, author=BEN, reply_to=POST)
    assert listed(ANSWERED, deleted, POSTED) == listed(POSTED, ANSWERED, deleted) == []
    assert not given(ANSWERED, deleted, POSTED).query(
        PENDING_ANSWERS, lambda store: store.scan(PENDING_ANSWERS)
    )


def test_an_edit_notifies_those_whom_it_names_first() -> None:
    edit = schema.PostEdited(post=POST, author=BEN, text="t", mentions=("ann", "cat"))
    given(
        schema.PostCreated(post=POST, author=BEN, text="t", mentions=("ann", "dan")),
        (id_at(9), edit),
    ).expect(
        MENTIONS,
        MentionRow(POST, "ann", BEN, notification_id(POST)),
        MentionRow(POST, "cat", BEN, notification_id(id_at(9))),
    )


def test_dismissed_ones_are_left_out_alone_or_all_up_to_one() -> None:
    likes = [(id_at(n), schema.PostLiked(post=n, user=BEN, author=ANN)) for n in range(1, 5)]
    one, up_to = notification_id(id_at(4)), notification_id(id_at(2))
    assert listed(
        *likes,
        schema.NotificationsDismissed(user=ANN, first=one, last=one),
        schema.NotificationsDismissed(user=ANN, first=0, last=up_to),
    ) == [("like", BEN, 3)]


def test_pages_walk_over_many_in_both_directions() -> None:
    likes = [(id_at(n), schema.PostLiked(post=n, user=BEN, author=ANN)) for n in range(1, 51)]
    bound = notification_id(id_at(30))
    older = listed(*likes, request=PageRequest(25, max_id=bound))
    assert [post for _, _, post in older] == list(range(29, 4, -1))
    newer = listed(*likes, request=PageRequest(3, min_id=bound))
    assert [post for _, _, post in newer] == [33, 32, 31]


def test_ids_fit_a_json_number_tell_the_time_and_differ_on_one_machine() -> None:
    ids = [notification_id(compose_id(NOON_MS, 511, sequence)) for sequence in range(4096)]
    assert len(set(ids)) == 4096
    assert max(ids) < 1 << 53
    assert {notification_ms(id) for id in ids} == {NOON_MS}
