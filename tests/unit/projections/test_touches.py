"""What API processes are told to forget after a batch."""

from collections.abc import Iterable

from events import schema
from events.schema import Event
from projections.catalog import CATALOG, TOUCHES
from projections.touched import Kind
from tests.unit.projections.kit import given

ANNA, BEN, POST, COMMENT = 1, 2, 100, 200


def touched(name: str, before: Iterable[Event], *events: Event) -> set[tuple[int, int]]:
    """What a batch of these events touches after others were projected."""
    projection = next(one for one in CATALOG if one.name == name)
    return set(TOUCHES[name](given(*before).changes(projection, *events)))


def test_a_profile_is_touched_by_what_its_user_does_to_it() -> None:
    anna = schema.UserRegistered(ANNA, "anna", "Anna")
    assert touched("profiles", [], anna) == {(Kind.PROFILE, ANNA)}
    assert touched("profiles", [anna], schema.UserDeleted(ANNA, "anna")) == {(Kind.PROFILE, ANNA)}
    assert touched("profiles", [], schema.UserDeleted(BEN, "ben")) == set()


def test_a_like_touches_the_post_and_the_marks_of_who_likes() -> None:
    like = schema.PostLiked(POST, BEN, ANNA)
    assert touched("posts", [], like) == {(Kind.POST, POST), (Kind.MARKS, BEN)}
    unlike = schema.PostUnliked(POST, BEN, ANNA)
    assert touched("posts", [like], unlike) == {(Kind.POST, POST), (Kind.MARKS, BEN)}
    assert touched("posts", [like], like) == set()


def test_a_comment_touches_itself_its_post_and_its_author() -> None:
    comment = schema.PostCreated(COMMENT, BEN, "x", reply_to=POST)
    expected = {(Kind.POST, COMMENT), (Kind.POST, POST), (Kind.GRAPH, BEN)}
    assert touched("posts", [], comment) == expected
    assert touched("posts", [comment], schema.PostDeleted(COMMENT, BEN, POST)) == expected


def test_every_projection_whose_answers_are_cached_says_what_to_forget() -> None:
    assert TOUCHES.keys() == {"profiles", "posts", "followers", "timeline"}
    assert TOUCHES.keys() <= {one.name for one in CATALOG}
