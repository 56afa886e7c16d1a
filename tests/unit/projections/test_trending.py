"""What the projection `trending` counts, and what trends."""

from collections import defaultdict

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from events.schema import Event, PostCreated, PostDeleted, PostEdited, UserDeleted
from projections.trending import (
    TAG_USAGE,
    TAGGED_POSTS,
    USER_TAG_USES,
    TaggedPostRow,
    TagUsageRow,
    TagUse,
    TrendingTag,
    UserTagUseRow,
    find_trends,
    prunes_expired,
    quarter_of,
)
from tests.support.projection_dsl import NOON_MS, given, id_at

DAY = 24 * 60
Q = quarter_of(id_at(0))


def post(minutes: float, author: int, *tags: str, number: int = 0) -> PostCreated:
    return PostCreated(id_at(minutes, author * 100 + number), author, "x", hashtags=tags)


def edited(of: PostCreated, *tags: str, later: float = 1) -> tuple[int, Event]:
    minutes = (quarter_of(of.post) - Q) * 15 + later
    return id_at(minutes, 4000), PostEdited(of.post, of.author, "y", tags)


def test_a_use_is_counted_in_its_quarter_of_an_hour_once_for_each_account() -> None:
    first, again = post(0, 1, "Cats", "cats"), post(14.9, 1, "CATS", number=1)
    given(first, again, post(15, 1, "cats", number=2), post(1, 2, "cats", "Dogs")).expect(
        TAG_USAGE,
        TagUsageRow(Q, "cats", accounts=2, uses=3),
        TagUsageRow(Q, "dogs", accounts=1, uses=1),
        TagUsageRow(Q + 1, "cats", accounts=1, uses=1),
    )


def test_a_deleted_post_no_longer_counts() -> None:
    first, again = post(0, 1, "cats"), post(1, 1, "cats", number=1)
    gone = PostDeleted(first.post, 1)
    given(first, again, gone).expect(TAG_USAGE, TagUsageRow(Q, "cats", 1, 1)).expect(
        USER_TAG_USES, UserTagUseRow(1, Q, "cats", 1)
    )
    given(first, gone, gone).expect(TAG_USAGE).expect(USER_TAG_USES).expect(TAGGED_POSTS)


def test_an_edit_moves_the_tags_within_the_time_of_the_post() -> None:
    first = post(0, 1, "cats", "dogs")
    given(first, edited(first, "Dogs", "birds", later=60)).expect(
        TAG_USAGE, TagUsageRow(Q, "birds", 1, 1), TagUsageRow(Q, "dogs", 1, 1)
    ).expect(TAGGED_POSTS, TaggedPostRow(1, first.post, '["birds","dogs"]'))
    given(first, edited(first)).expect(TAG_USAGE).expect(TAGGED_POSTS)
    plain = post(0, 1)
    given(plain, edited(plain, "cats")).expect(TAG_USAGE, TagUsageRow(Q, "cats", 1, 1))


def test_an_edit_of_a_post_older_than_eight_days_counts_nothing() -> None:
    old = post(0, 1, "cats")
    given(old, edited(old, "dogs", later=8 * DAY)).expect(TAG_USAGE).expect(TAGGED_POSTS)
    given(old, edited(old, "dogs", later=8 * DAY - 1)).expect(
        TAG_USAGE, TagUsageRow(Q, "dogs", 1, 1)
    )


def test_a_deleted_account_no_longer_counts_and_never_again() -> None:
    late = post(2, 1, "cats", number=2)
    given(
        post(0, 1, "cats"), post(0, 2, "cats"), UserDeleted(1, "one"), late, edited(late, "x")
    ).expect(TAG_USAGE, TagUsageRow(Q, "cats", 1, 1)).expect(
        USER_TAG_USES, UserTagUseRow(2, Q, "cats", 1)
    )


def test_what_is_older_than_eight_days_goes_when_its_author_uses_a_tag_again() -> None:
    posts = (post(9 * DAY, 1, "now", number=number) for number in range(100))
    now = next(one for one in posts if prunes_expired(one.post))
    expired, current = post(0, 1, "cats"), post(1 * DAY + 15, 1, "cats", number=1)
    others = post(0, 2, "cats")
    quarters = 24 * 4
    given(expired, current, others, now).expect(
        TAG_USAGE,
        TagUsageRow(Q, "cats", 1, 1),
        TagUsageRow(Q + quarters + 1, "cats", 1, 1),
        TagUsageRow(Q + 9 * quarters, "now", 1, 1),
    ).expect(
        TAGGED_POSTS,
        TaggedPostRow(1, current.post, '["cats"]'),
        TaggedPostRow(1, now.post, '["now"]'),
        TaggedPostRow(2, others.post, '["cats"]'),
    )


def test_about_one_id_in_sixteen_looks_back_whatever_their_rhythm() -> None:
    for step in (1, 16, 1 << 12, 1 << 22, 1000 << 22, 2880 << 22):
        looking = sum(prunes_expired(id_at(0) + number * step) for number in range(16_000))
        assert 800 < looking < 1200


def trending(*events: Event, minutes: float = 0, limit: int = 10) -> list[TrendingTag]:
    at = NOON_MS + int(minutes * 60_000)
    return given(*events).query(TAG_USAGE, lambda store: find_trends(store, at, limit))


def test_a_tag_trends_when_five_accounts_use_it_within_two_hours() -> None:
    four = [post(minutes, author, "cats") for author, minutes in enumerate((-100, -50, 0, 1), 1)]
    assert trending(*four) == []
    [trend] = trending(*four, post(-85, 1, "Cats", number=1), post(-106, 9, "cats"))
    assert trend.tag == "cats"
    assert trend.score == pytest.approx(25 / 3)
    assert (trend.uses, trend.accounts) == (5, 4)
    assert [use.uses for use in trend.history] == [1, 1, 0, 1, 0, 0, 0, 2]
    assert trend.history[-1] == TagUse(NOON_MS, uses=2, accounts=2)
    assert trend.history[0].since == NOON_MS - 105 * 60_000


def test_later_uses_and_those_before_the_two_hours_do_not_count() -> None:
    five = [post(0, author, "cats") for author in range(5)]
    assert len(trending(*five)) == 1
    assert len(trending(*five, minutes=119.9)) == 1
    assert trending(*five, minutes=120) == []
    assert trending(*five, minutes=-0.1) == []


def test_a_tag_used_as_much_on_the_days_before_does_not_trend() -> None:
    usual = [
        post(-day * DAY - quarter * 15, author, "tea", number=day * 8 + quarter)
        for day in range(8)
        for quarter in range(2)
        for author in range(5)
    ]
    assert trending(*usual) == []
    more = [post(-1, author, "tea") for author in range(10, 20)]
    [trend] = trending(*usual, *more)
    assert trend.score == pytest.approx((20 - 10) ** 2 / (10 + 3))


def test_equal_scores_are_ordered_by_tag_and_cut_at_the_limit() -> None:
    events = [post(0, author, "b", "a", "c") for author in range(5)]
    events += [post(0, author, "z", number=1) for author in range(6)]
    assert [trend.tag for trend in trending(*events)] == ["z", "a", "b", "c"]
    assert [trend.tag for trend in trending(*events, limit=2)] == ["z", "a"]
    assert trending(*events, limit=0) == []


USED = st.tuples(st.integers(-8 * 96 + 1, 2), st.integers(1, 12), st.sampled_from("abcdef"))


@settings(max_examples=80)
@drawn(st.lists(USED, max_size=30), st.lists(USED, min_size=20, max_size=80), st.integers(1, 4))
def test_trends_are_what_counting_by_hand_gives(
    old: list[tuple[int, int, str]], new: list[tuple[int, int, str]], limit: int
) -> None:
    used = old + [(quarter // 96, author, tag) for quarter, author, tag in new]
    events = [
        PostCreated(id_at(quarter * 15 + 1, number), author, "x", hashtags=(tag,))
        for number, (quarter, author, tag) in enumerate(used)
    ]
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for quarter, author, tag in used:
        seen[tag, quarter].add(author)

    def window(tag: str, day: int) -> int:
        return sum(len(seen[tag, -96 * day - quarter]) for quarter in range(8))

    scores = {}
    for tag in {tag for _, _, tag in used}:
        o, e = window(tag, 0), sum(window(tag, day) for day in range(1, 8)) / 7
        if o >= 5 and o > e:
            scores[tag] = (o - e) ** 2 / (e + 3)
    expected = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
    found = trending(*events, minutes=1, limit=limit)
    assert [trend.tag for trend in found] == [tag for tag, _ in expected]
    assert [trend.score for trend in found] == pytest.approx([score for _, score in expected])
