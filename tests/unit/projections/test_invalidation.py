"""What API processes must drop from their caches after a batch."""

from collections.abc import Iterable

from events import schema
from events.schema import Event
from projections.invalidation import InvalidationKind
from projections.registry import ALL_PROJECTIONS, INVALIDATIONS
from tests.support.projection_dsl import given

ANNA, BEN, POST, COMMENT = 1, 2, 100, 200


def invalidated_by(name: str, before: Iterable[Event], *events: Event) -> set[tuple[int, int]]:
    """What a batch of these events invalidates after others were projected."""
    projection = next(one for one in ALL_PROJECTIONS if one.name == name)
    return set(INVALIDATIONS[name](given(*before).changes_by(projection, *events)))


def test_a_profile_is_invalidated_by_its_own_events() -> None:
    anna = schema.UserRegistered(ANNA, "anna", "Anna")
    assert invalidated_by("profiles", [], anna) == {(InvalidationKind.PROFILE, ANNA)}
    assert invalidated_by("profiles", [anna], schema.UserDeleted(ANNA, "anna")) == {
        (InvalidationKind.PROFILE, ANNA)
    }
    assert invalidated_by("profiles", [], schema.UserDeleted(BEN, "ben")) == set()


def test_a_like_invalidates_the_post_and_the_likes_of_its_user() -> None:
    like = schema.PostLiked(POST, BEN, ANNA)
    assert invalidated_by("posts", [], like) == {
        (InvalidationKind.POST, POST),
        (InvalidationKind.MARKS, BEN),
    }
    unlike = schema.PostUnliked(POST, BEN, ANNA)
    assert invalidated_by("posts", [like], unlike) == {
        (InvalidationKind.POST, POST),
        (InvalidationKind.MARKS, BEN),
    }
    assert invalidated_by("posts", [like], like) == set()


def test_a_comment_invalidates_itself_and_its_post() -> None:
    comment = schema.PostCreated(COMMENT, BEN, "x", reply_to=POST)
    expected = {
        (InvalidationKind.POST, COMMENT),
        (InvalidationKind.POST, POST),
    }
    assert invalidated_by("posts", [], comment) == expected
    assert invalidated_by("posts", [comment], schema.PostDeleted(COMMENT, BEN, POST)) == expected


def test_what_a_reader_filters_and_mutes_invalidates_what_is_kept_for_that_reader() -> None:
    made = schema.FilterChanged(7, ANNA, "x", ("home",))
    expected = {(InvalidationKind.FILTERS, ANNA)}
    assert invalidated_by("filters", [], made) == expected
    assert invalidated_by("filters", [made], schema.FilterDeleted(7, ANNA)) == expected
    muted = schema.ConversationMuted(POST, ANNA)
    marks = {(InvalidationKind.MARKS, ANNA)}
    assert invalidated_by("personal_records", [], muted) == marks
    unmuted = schema.ConversationUnmuted(POST, ANNA)
    assert invalidated_by("personal_records", [muted], unmuted) == marks


def test_every_projection_with_cached_queries_declares_invalidations() -> None:
    assert INVALIDATIONS.keys() == {
        "filters", "personal_records", "profiles", "posts", "timeline",
    }  # fmt: skip
    assert INVALIDATIONS.keys() <= {one.name for one in ALL_PROJECTIONS}
