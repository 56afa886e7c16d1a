"""The memory through which lines go to the process that sends them."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.producer_ipc import ChunkGroup, LinesRing, map_ring
from streams.feed.chunks import build_watermark

SIZE = 100


@pytest.fixture
def ring() -> Iterator[LinesRing]:
    ring = LinesRing(SIZE)
    yield ring
    ring.close()


@given(st.lists(st.one_of(st.integers(0, 60), st.integers(-9, -1)), max_size=60))
def test_what_was_put_stays_until_it_is_released_in_whatever_order(steps: list[int]) -> None:
    """A step puts as many bytes, or releases one of the groups that are there."""
    ring = LinesRing(SIZE)
    view, there = map_ring(ring.fileno()), dict[int, tuple[int, bytes]]()
    for number, step in enumerate(steps):
        if step < 0:
            if there:
                released = list(there)[step % len(there)]
                ring.release(released)
                del there[released]
            continue
        lines = [bytes([number + 1]) * (step // 2), bytes([number + 101]) * (step - step // 2)]
        at = ring.put(number, lines)
        assert at is not None or there
        if at is not None:
            there[number] = (at, b"".join(lines))
        for begin, text in there.values():
            assert bytes(view[begin : begin + len(text)]) == text
    view.release()
    ring.close()


def test_there_is_room_for_all_of_it_and_then_for_nothing_until_the_oldest_is_released(
    ring: LinesRing,
) -> None:
    assert (ring.put(1, [b"a" * 60]), ring.put(2, [b"b" * 40]), ring.put(3, [b"c"])) == (
        0,
        60,
        None,
    )
    ring.release(2)
    assert ring.put(4, [b"d"]) is None
    ring.release(1)
    assert ring.put(5, [b"e" * SIZE]) == 0


def test_what_is_larger_than_the_ring_finds_no_room(ring: LinesRing) -> None:
    assert ring.put(1, [b"a" * (SIZE + 1)]) is None
    assert ring.put(2, [b"b" * SIZE]) == 0


def test_a_group_gives_each_chunk_its_lines_wherever_they_are(ring: LinesRing) -> None:
    lines = [b"one", b"", b"three"]
    chunks = [build_watermark(number, 0, 1) for number in range(3)]
    ring.put(1, [b"before"])
    in_ring = ChunkGroup(2, 0, chunks, ring.put(2, lines), [3, 0, 5])
    whole = [chunk._replace(lines=part) for chunk, part in zip(chunks, lines, strict=True)]
    told = ChunkGroup(3, 0, whole, None, [3, 0, 5])
    with map_ring(ring.fileno()) as view:
        for group in (in_ring, told):
            found = [(chunk.partition, bytes(part)) for chunk, part in group.with_lines(view)]
            assert found == [(0, b"one"), (1, b""), (2, b"three")]
