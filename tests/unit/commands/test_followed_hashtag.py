"""Following hashtags."""

import pytest

from commands.errors import InvalidInput
from commands.followed_hashtag import MAX_FOLLOWED_HASHTAGS, FollowHashtag, UnfollowHashtag
from events.schema import HashtagFollowed, HashtagUnfollowed
from tests.support.decider_dsl import ANNA, PEOPLE


def test_a_hashtag_is_followed_in_whatever_case_it_is_written() -> None:
    PEOPLE.when(FollowHashtag("#Łódź")).then(HashtagFollowed(ANNA, "łódź"))
    followed = PEOPLE.and_then(HashtagFollowed(ANNA, "łódź"))
    followed.when(FollowHashtag("ŁÓDŹ")).then_nothing()
    followed.when(UnfollowHashtag("łódź")).then(HashtagUnfollowed(ANNA, "łódź"))
    PEOPLE.when(UnfollowHashtag("x")).then_nothing()


@pytest.mark.parametrize("written", ["", "#", "123", "a b", "a-b", "x#y", "a" * 300, "@ada"])
def test_what_is_no_hashtag_in_a_text_is_not_followed(written: str) -> None:
    PEOPLE.when(FollowHashtag(written)).then_rejected("hashtag-invalid", InvalidInput)


def test_the_list_has_an_end() -> None:
    full = PEOPLE.and_then(*(HashtagFollowed(ANNA, f"x{n}") for n in range(MAX_FOLLOWED_HASHTAGS)))
    full.when(FollowHashtag("y")).then_rejected("hashtags-too-many", InvalidInput)
    full.and_then(HashtagUnfollowed(ANNA, "x7")).when(FollowHashtag("y")).then(
        HashtagFollowed(ANNA, "y")
    )
