"""Pinning."""

from commands.decider import StreamWrite
from commands.errors import InvalidInput, NotAllowed
from commands.pin import MAX_PINS, Pin, Unpin
from events.schema import PostCreated, PostDeleted, PostPinned, PostUnpinned
from events.streams import pins_stream
from tests.support.decider_dsl import ANNA, BEN, BEN_POSTED, PEOPLE, POST

OWN = PEOPLE.and_then(PostCreated(POST, ANNA, "x"))
FULL = OWN.and_then(
    *(PostCreated(n, ANNA, "x") for n in range(301, 301 + MAX_PINS)),
    *(PostPinned(n, ANNA) for n in range(301, 301 + MAX_PINS)),
)


def test_a_post_is_pinned_once_and_until_it_is_taken_back() -> None:
    OWN.when(Pin(POST)).then(PostPinned(POST, ANNA))
    pinned = OWN.and_then(PostPinned(POST, ANNA))
    pinned.when(Pin(POST)).then_nothing()
    pinned.when(Unpin(POST)).then(PostUnpinned(POST, ANNA))
    OWN.when(Unpin(POST)).then_nothing()


def test_only_ones_own_posts_are_pinned() -> None:
    BEN_POSTED.when(Pin(POST)).then_rejected("not-author", NotAllowed)
    BEN_POSTED.when(Pin(POST), BEN).then(PostPinned(POST, BEN))


def test_five_posts_are_pinned_at_most_and_deleted_ones_make_room() -> None:
    FULL.when(Pin(POST)).then_rejected("pins-too-many", InvalidInput)
    FULL.and_then(PostUnpinned(303, ANNA)).when(Pin(POST)).then(PostPinned(POST, ANNA))
    decided = FULL.and_then(PostDeleted(302, ANNA)).when(Pin(POST)).decide()
    events = (PostUnpinned(302, ANNA), PostPinned(POST, ANNA))
    assert decided == (StreamWrite(pins_stream(ANNA), events),)
