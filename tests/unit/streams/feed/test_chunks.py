"""Records of the feed: what is decoded, and what is refused."""

import pytest

from events.log import EventMark
from streams.feed.chunks import Chunk, FeedState, UnknownRecord, decode_record

CHUNK = Chunk(3, 10, 20, 2, 0, 12, 17, b"lines")
STATE = FeedState(complete_to=9, log=0xAB, newest=EventMark(17, 44))


def test_a_record_names_how_far_its_partition_and_the_whole_feed_are_complete() -> None:
    assert dict(CHUNK.headers(STATE)) == {
        "schema": b"1", "count": b"2", "first": b"12", "last": b"17",
        "after": b"10", "through": b"20", "complete_to": b"9",
        "log": b"171", "newest_position": b"17", "newest_id": b"44",
    }  # fmt: skip


def test_a_record_with_the_former_names_of_headers_is_read() -> None:
    former = {"through": "upto", "complete_to": "settled"}
    headers = [(former.get(name, name), number) for name, number in CHUNK.headers(STATE)]
    assert {"upto", "settled"} < {name for name, _ in headers}
    assert decode_record(3, headers, b"lines") == (CHUNK, STATE)


def test_a_record_of_before_logs_were_named_is_read() -> None:
    later = ("log", "newest_position", "newest_id")
    headers = [(n, value) for n, value in CHUNK.headers(STATE) if n not in later]
    assert decode_record(3, headers, b"lines") == (CHUNK, FeedState(9))


@pytest.mark.parametrize("wrong", [{"schema": b"2"}, {"count": b"two"}, {"through": None}])
def test_a_record_that_is_no_chunk_is_refused(wrong: dict[str, bytes | None]) -> None:
    headers = {**dict(CHUNK.headers(STATE)), **wrong}
    with pytest.raises(UnknownRecord):
        decode_record(3, [(n, value) for n, value in headers.items() if value is not None], b"")
