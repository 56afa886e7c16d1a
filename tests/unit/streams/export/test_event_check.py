"""Stored events that no decider could have made are named."""

import pytest

from events.envelope import StoredEvent
from streams.export.event_check import InvalidEvent, check_event, check_field_names

LIKE = StoredEvent(
    1, 9, "like-5-6", 1, "post-liked", 1, 6, 0, 9, b'{"post":"5","user":"6","author":"7"}'
)
CLAIM = StoredEvent(
    1, 9, "handle-ada", 1, "handle-claimed", 1, 6, 0, 9, b'{"handle":"ada","user":"6"}'
)


def test_an_event_as_it_was_made_passes() -> None:
    check_field_names(check_event(LIKE), LIKE.data)
    check_field_names(check_event(CLAIM), CLAIM.data)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (LIKE._replace(stream="like-6-5"), "belongs in like-5-6"),
        (LIKE._replace(schema=0), "which never was"),
        (LIKE._replace(schema=2), "version 2"),
        (LIKE._replace(type="liked"), "no event type"),
        (LIKE._replace(data=b'{"post":"5"}'), "doesn't decode"),
        (LIKE._replace(data=b'{"post":"5","user":"6","author":"-7"}'), "63 bits"),
        (LIKE._replace(data=b'{"post":"5","user":"6","author":"99999999999999999999"}'), "6|7"),
        (CLAIM._replace(stream='handle-a"b', data=b'{"handle":"a\\"b","user":"6"}'), "claimed"),
        (CLAIM._replace(stream="handle-Ada", data=b'{"handle":"Ada","user":"6"}'), "claimed"),
        (LIKE._replace(data=LIKE.data[:-1] + b',"x":1}'), "has a field 'x'"),
    ],
)
def test_an_event_that_nothing_made_is_named(stored: StoredEvent, words: str) -> None:
    with pytest.raises(InvalidEvent, match=words):
        check_field_names(check_event(stored), stored.data)
