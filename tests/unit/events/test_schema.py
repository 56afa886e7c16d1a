"""What is stored stays readable: a golden file for each version of each event type."""

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from events.codec import EVENT_CODEC, UPCASTERS, EventCodec, UnknownEvent, encode_event
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES, ID_FIELDS
from events.schema import (
    AccountSuspended,
    AccountUnsuspended,
    ConversationMuted,
    ConversationUnmuted,
    Event,
    FilterChanged,
    FilterDeleted,
    FilteredPost,
    FilterKeyword,
    HandleClaimed,
    HashtagFollowed,
    HashtagUnfollowed,
    ListChanged,
    ListDeleted,
    ListMemberAdded,
    ListMemberRemoved,
    Medium,
    NotificationsDismissed,
    NotificationsRead,
    PostBookmarked,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPinned,
    PostRemoved,
    PostRetweeted,
    PostUnbookmarked,
    PostUnliked,
    PostUnpinned,
    PostUnretweeted,
    PrivateNoteChanged,
    ProfileChanged,
    RecommendationDismissed,
    RegistrationAbandoned,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
)

GOLDEN: Final = Path(__file__).parent / "golden"
"""`<stored name>.<version>.json` holds the bytes as the log does. Never change one: add one."""

A, B, POST, REPLY = (
    1541815603606036480,
    1541815603606036481,
    1541815607234109440,
    1541815610539180032,
)

EXAMPLES: Final[tuple[Event, ...]] = (
    HandleClaimed("ada_l", A),
    UserRegistered(A, "ada_l", "Ada Łovelace", 'engines "and" poetry'),
    RegistrationAbandoned(A, "ada_l"),
    ProfileChanged(A, "Ada 🐦", ""),
    UserDeleted(A, "ada_l"),
    PostCreated(REPLY, A, "Hello @Bob #Łódź\n#x", POST, ("Łódź", "x"), ("Bob",), (Medium("f00d"),)),
    PostEdited(REPLY, A, "Hello @Bob #y", ("y",), ("Bob",)),
    PostDeleted(REPLY, A, POST),
    PostRemoved(REPLY, A, POST, "spam"),
    AccountSuspended(A, "spam"),
    AccountUnsuspended(A, "a mistake"),
    PostLiked(POST, B, A),
    PostUnliked(POST, B, A),
    PostRetweeted(POST, B, A),
    PostUnretweeted(POST, B, A),
    UserFollowed(A, B, 2),
    UserUnfollowed(A, B),
    UserBlocked(A, B, 3),
    UserUnblocked(A, B),
    UserMuted(A, B),
    UserUnmuted(A, B),
    PrivateNoteChanged(A, B, 'Met at "the" café'),
    RecommendationDismissed(A, B),
    PostBookmarked(POST, A),
    PostUnbookmarked(POST, A),
    PostPinned(POST, A),
    PostUnpinned(POST, A),
    HashtagFollowed(A, "łódź"),
    HashtagUnfollowed(A, "łódź"),
    ConversationMuted(POST, A),
    ConversationUnmuted(POST, A),
    NotificationsRead(A, 2_000_000_000_000_000),
    ListChanged(POST, A, 'Friends & "family" 🐦', "followed"),
    ListDeleted(POST, A),
    FilterChanged(
        POST,
        A,
        'Cats & "dogs" 🐦',
        ("home", "thread"),
        "hide",
        1_790_000_000_000,
        (FilterKeyword(1, "cat"), FilterKeyword(3, "łódź", whole_word=False)),
        (FilteredPost(2, str(REPLY)),),
    ),
    FilterDeleted(POST, A),
    ListMemberAdded(POST, A, B),
    ListMemberRemoved(POST, A, B),
    NotificationsDismissed(A, 0, 2_000_000_000_000_000),
)


def golden(name: str, version: int) -> bytes:
    return (GOLDEN / f"{name}.{version}.json").read_bytes().rstrip(b"\n")


def test_every_event_type_has_an_example_and_a_golden_file() -> None:
    assert {type(event) for event in EXAMPLES} == set(EVENT_TYPES)
    versions = {
        f"{name}.{version}.json"
        for name, newest in EVENT_TYPES.values()
        for version in range(1, newest + 1)
    }
    assert {path.name for path in GOLDEN.iterdir()} == versions


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_is_stored_as_its_golden_file(event: Event) -> None:
    name, version, data = encode_event(event)
    assert (name, version) == EVENT_TYPES[type(event)]
    assert data == golden(name, version)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_golden_file_is_read_as_its_event(event: Event) -> None:
    name, newest = EVENT_TYPES[type(event)]
    for version in range(1, newest + 1):
        assert EVENT_CODEC.decode(name, version, golden(name, version)) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_ids_are_strings_in_json_and_nothing_else_is(event: Event) -> None:
    fields = json.loads(encode_event(event)[2])
    for field in ID_FIELDS & set(fields):
        assert fields[field] == str(getattr(event, field))
    for field in set(fields) - ID_FIELDS:
        assert json.loads(msgspec.json.encode(getattr(event, field))) == fields[field]
    big = {name for name in event.__struct_fields__ if getattr(event, name) in (A, B, POST, REPLY)}
    assert big <= ID_FIELDS


def test_what_is_absent_takes_no_room_and_comes_back() -> None:
    first = PostCreated(POST, A, "x")
    data = encode_event(first)[2]
    assert b"reply_to" not in data
    assert EVENT_CODEC.decode("post-created", 3, data) == first


def test_posts_of_before_there_were_warnings_have_none() -> None:
    old = b'{"post": "%d", "author": "%d", "text": "x"}' % (POST, A)
    assert EVENT_CODEC.decode("post-created", 2, old) == PostCreated(POST, A, "x")
    assert EVENT_CODEC.decode("post-edited", 1, old) == PostEdited(POST, A, "x")


def test_what_is_known_of_an_image_comes_back() -> None:
    image = Medium("ab" * 32, "image/png", 640, 480, "L7E{hE~nN5%g", "an owl")
    name, version, data = encode_event(PostCreated(POST, A, "x", media=(image,)))
    assert EVENT_CODEC.decode(name, version, data) == PostCreated(POST, A, "x", media=(image,))
    changed = ProfileChanged(A, "Ada", "", "ab" * 32, "cd" * 32, (("Pronouns", "she"),), True)
    assert EVENT_CODEC.decode(*encode_event(changed)) == changed


# An event type whose stored form changed twice: the text was once called `body`, and then a
# language was added.


class Noted(Event, frozen=True):
    user: int
    text: str
    language: str


def renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"user": fields["user"], "text": fields["body"]}


def with_language(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "language": "und"}


NOTES: Final = EventCodec(
    {Noted: ("noted", 3)}, {("noted", 1): renamed, ("noted", 2): with_language}
)


def test_an_event_of_an_old_version_is_lifted_step_by_step() -> None:
    today = Noted(A, "hello", "und")
    assert NOTES.decode("noted", 1, b'{"user": "%d", "body": "hello"}' % A) == today
    assert NOTES.decode("noted", 2, b'{"user": "%d", "text": "hello"}' % A) == today
    assert NOTES.decode("noted", 3, msgspec.json.encode({**msgspec.structs.asdict(today)})) == today
    row = StoredEvent(
        5, 1, "note-1", 1, "noted", 1, A, 0, 1, b'{"user": "%d", "body": "hello"}' % A
    )
    assert NOTES.decode_stored(row).event == today


def test_what_a_newer_program_stored_is_refused() -> None:
    with pytest.raises(UnknownEvent, match="'post-painted'"):
        EVENT_CODEC.decode("post-painted", 1, b"{}")
    with pytest.raises(UnknownEvent, match="noted has version 4 here"):
        NOTES.decode("noted", 4, b"{}")


def test_bytes_that_do_not_fit_their_type_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        EVENT_CODEC.decode("post-liked", 1, b'{"post": "1", "user": "x", "author": "2"}')
    with pytest.raises(msgspec.DecodeError):
        EVENT_CODEC.decode("post-liked", 1, b"{")


def test_every_step_from_an_old_version_has_an_upcaster() -> None:
    steps = {
        (name, version) for name, newest in EVENT_TYPES.values() for version in range(1, newest)
    }
    assert set(UPCASTERS) == steps
