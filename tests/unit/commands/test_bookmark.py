"""Bookmarking."""

from commands.bookmark import Bookmark, Unbookmark
from commands.errors import NotAllowed, NotFound
from events.schema import PostBookmarked, PostDeleted, PostUnbookmarked, UserBlocked
from tests.support.decider_dsl import ANNA, BEN, BEN_POSTED, PEOPLE, POST

KEPT = PostBookmarked(POST, ANNA)


def test_a_post_is_bookmarked_once_and_until_it_is_taken_back() -> None:
    BEN_POSTED.when(Bookmark(POST)).then(KEPT)
    kept = BEN_POSTED.and_then(KEPT)
    kept.when(Bookmark(POST)).then_nothing()
    kept.when(Unbookmark(POST)).then(PostUnbookmarked(POST, ANNA))
    BEN_POSTED.when(Unbookmark(POST)).then_nothing()


def test_only_what_one_may_see_is_bookmarked() -> None:
    PEOPLE.when(Bookmark(POST)).then_rejected("post-not-found", NotFound)
    blocked = BEN_POSTED.and_then(UserBlocked(BEN, ANNA))
    blocked.when(Bookmark(POST)).then_rejected("blocked", NotAllowed)


def test_the_bookmark_of_a_deleted_post_is_taken_back() -> None:
    gone = BEN_POSTED.and_then(KEPT, PostDeleted(POST, BEN))
    gone.when(Unbookmark(POST)).then(PostUnbookmarked(POST, ANNA))
