"""Sealed texts: what they are made of, and how they are found and opened in JSON."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.codec import EVENT_CODEC, encode_event
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES
from events.schema import Event, PostCreated, PostLiked
from events.sealed_text import (
    PERSONAL_FIELDS,
    SEALED_TYPES,
    SealedText,
    open_json,
    open_stored,
    owner_of_texts,
    parse_sealed,
    sealed_texts,
)

NUMBER = st.integers(0, (1 << 63) - 1)
SEALED = st.builds(SealedText, NUMBER, NUMBER, st.binary(min_size=16, max_size=400))


def stored_event(event: Event) -> StoredEvent:
    name, schema, data = encode_event(event)
    return StoredEvent(1, 2, "post-3", 1, name, schema, 4, 0, 2, data)


@given(SEALED)
def test_a_sealed_text_says_what_it_is_made_of(sealed: SealedText) -> None:
    assert parse_sealed(sealed.render()) == sealed


@given(st.text().filter(lambda text: not text.startswith("sealed.")))
def test_what_people_write_is_no_sealed_text(text: str) -> None:
    assert parse_sealed(text) is None


@pytest.mark.parametrize("text", ["sealed.", "sealed.words", "sealed.with a kiss " * 9])
def test_words_behind_the_mark_are_no_sealed_text(text: str) -> None:
    assert parse_sealed(text) is None


@given(SEALED, st.text())
def test_a_text_is_opened_where_it_stands_in_json(sealed: SealedText, written: str) -> None:
    post = PostCreated(3, 4, sealed.render(), hashtags=("sealed", "a"))
    stored = stored_event(post)
    assert sealed_texts(stored.data) == [sealed]
    opened = open_stored(stored, lambda text: written if text == sealed.render() else text)
    assert EVENT_CODEC.decode_stored(opened).event == msgspec.structs.replace(post, text=written)
    line = b'{"stream":"post-3","data":%s}\n' % stored.data
    assert msgspec.json.decode(open_json(line * 2, lambda _: written).splitlines()[1])["data"][
        "text"
    ] == (written)


def test_events_without_texts_are_left_as_they_are() -> None:
    liked = stored_event(PostLiked(1, 2, 3))
    assert open_stored(liked, lambda text: pytest.fail(text)) is liked


def test_every_text_that_people_write_is_named_as_personal() -> None:
    written = {
        "text", "spoiler_text", "name", "bio", "media", "title", "note", "fields", "keywords",
    }  # fmt: skip
    for kind, (name, _) in EVENT_TYPES.items():
        fields = written.intersection(kind.__struct_fields__)
        assert fields == set(PERSONAL_FIELDS.get(kind, ())), name
        assert (name in SEALED_TYPES) == bool(fields)


def test_an_event_without_texts_has_no_owner_of_them() -> None:
    assert owner_of_texts(PostCreated(3, 4, "hi")) == 4
    with pytest.raises(TypeError, match="PostLiked"):
        owner_of_texts(PostLiked(1, 2, 3))
