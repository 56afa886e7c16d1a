"""What users keep, from events to lists."""

from events import schema
from projections.pages import PageRequest
from projections.personal_records import (
    BLOCKED_USERS,
    BOOKMARKS,
    FOLLOWED_HASHTAGS,
    MUTED_CONVERSATIONS,
    MUTED_USERS,
    PINS,
    BlockedUserRow,
    FollowedHashtagRow,
    ListedItem,
    ListedMute,
    MutedConversationRow,
    PinRow,
    list_bookmarks,
    list_muted,
    read_kept,
)
from projections.posts import LIKES, LikedPost, list_liked
from tests.support.projection_dsl import given, id_at

ANN, BEN, CARA = 1, 2, 3
EVENTS = (
    (id_at(1), schema.PostBookmarked(post=9, user=ANN)),
    (id_at(2), schema.PostBookmarked(post=5, user=ANN)),
    (id_at(3), schema.PostBookmarked(post=5, user=BEN)),
    (id_at(4), schema.PostPinned(post=7, author=ANN)),
    (id_at(5), schema.HashtagFollowed(user=ANN, tag="x")),
    (id_at(6), schema.UserBlocked(blocker=ANN, blocked=CARA)),
    (id_at(7), schema.UserMuted(muter=ANN, muted=BEN)),
    (id_at(8), schema.UserMuted(muter=ANN, muted=CARA)),
    (id_at(9), schema.ConversationMuted(post=5, user=ANN)),
)
NEWEST = PageRequest()


def test_lists_come_in_the_order_in_which_things_were_put_there() -> None:
    kept = given(*EVENTS)
    assert kept.query(BOOKMARKS, lambda store: list_bookmarks(store, ANN, NEWEST)) == [
        ListedItem(id_at(2), 5),
        ListedItem(id_at(1), 9),
    ]
    older = NEWEST._replace(max_id=id_at(8))
    assert kept.query(MUTED_USERS, lambda store: list_muted(store, ANN, older)) == [
        ListedMute(id_at(7), BEN, 0)
    ]
    kept.expect(MUTED_CONVERSATIONS, MutedConversationRow(ANN, 5, id_at(9)))
    kept.expect(PINS, PinRow(ANN, 7, id_at(4)))
    kept.expect(FOLLOWED_HASHTAGS, FollowedHashtagRow(ANN, "x", id_at(5)))
    kept.expect(BLOCKED_USERS, BlockedUserRow(ANN, CARA, id_at(6)))
    found = kept.query(BOOKMARKS, lambda store: read_kept(store, [(ANN, 5), (ANN, 7), (BEN, 7)]))
    assert found == {(ANN, 5): (True, False), (ANN, 7): (False, True), (BEN, 7): (False, False)}


def test_what_is_taken_back_leaves_the_lists() -> None:
    given(
        *EVENTS,
        schema.PostUnbookmarked(post=5, user=BEN),
        schema.PostUnbookmarked(post=5, user=ANN),
        schema.PostUnbookmarked(post=9, user=ANN),
        schema.PostUnpinned(post=7, author=ANN),
        schema.HashtagUnfollowed(user=ANN, tag="x"),
        schema.UserUnblocked(blocker=ANN, blocked=CARA),
        schema.UserUnmuted(muter=ANN, muted=BEN),
        schema.UserUnmuted(muter=ANN, muted=CARA),
        schema.ConversationUnmuted(post=5, user=ANN),
    ).expect(MUTED_CONVERSATIONS).expect(BOOKMARKS).expect(PINS).expect(FOLLOWED_HASHTAGS).expect(
        BLOCKED_USERS
    ).expect(MUTED_USERS)


def test_the_lists_of_an_account_end_with_it() -> None:
    left = given(*EVENTS, schema.UserDeleted(user=ANN, handle="ann"))
    left.expect(MUTED_CONVERSATIONS).expect(PINS).expect(FOLLOWED_HASHTAGS).expect(
        BLOCKED_USERS
    ).expect(MUTED_USERS)
    assert left.query(BOOKMARKS, lambda store: list_bookmarks(store, ANN, NEWEST)) == []
    assert len(left.query(BOOKMARKS, lambda store: list_bookmarks(store, BEN, NEWEST))) == 1


def test_liked_posts_come_in_the_order_of_the_likes() -> None:
    liked = given(
        (id_at(1), schema.PostLiked(post=9, user=ANN, author=BEN)),
        (id_at(2), schema.PostLiked(post=5, user=ANN, author=BEN)),
        (id_at(3), schema.PostLiked(post=6, user=BEN, author=BEN)),
    )
    assert liked.query(LIKES, lambda store: list_liked(store, ANN, NEWEST)) == [
        LikedPost(id_at(2), 5),
        LikedPost(id_at(1), 9),
    ]
