"""What the bits of an id hold and what they refuse."""

from datetime import UTC, datetime

import pytest

from events.ids.snowflake import (
    EPOCH_MS,
    LAST_ID,
    LAST_MS,
    OutOfLayout,
    SnowflakeParts,
    compose_id,
    decode_id,
    first_id_at,
    time_ms,
)


def test_a_known_tweet_decodes_to_its_time_machine_and_sequence() -> None:
    # A real one, published with the time 2012-06-08 06:22:06 UTC.
    tweet = 210980000776728576
    published = datetime(2012, 6, 8, 6, 22, 6, tzinfo=UTC)
    assert decode_id(tweet) == SnowflakeParts(ms=1339136526661, machine=35, sequence=0)
    assert time_ms(tweet) // 1000 == published.timestamp()


def test_the_first_and_the_last_id_take_all_63_bits() -> None:
    assert compose_id(EPOCH_MS, 0, 0) == 0
    assert compose_id(LAST_MS, 1023, 4095) == LAST_ID == 2**63 - 1


@pytest.mark.parametrize(
    ("ms", "machine", "sequence", "says"),
    [
        (EPOCH_MS - 1, 0, 0, "check the clock or the given time"),
        (LAST_MS + 1, 0, 0, "check the clock or the given time"),
        (EPOCH_MS, -1, 0, "machine -1 is not in 0-1023"),
        (EPOCH_MS, 1024, 0, "machine 1024 is not in 0-1023"),
        (EPOCH_MS, 0, -1, "sequence -1 is not in 0-4095"),
        (EPOCH_MS, 0, 4096, "sequence 4096 is not in 0-4095"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(
    ms: int, machine: int, sequence: int, says: str
) -> None:
    with pytest.raises(OutOfLayout, match=says):
        compose_id(ms, machine, sequence)


@pytest.mark.parametrize("number", [-1, LAST_ID + 1])
def test_a_number_that_is_no_id_is_not_decoded(number: int) -> None:
    with pytest.raises(OutOfLayout, match="no Snowflake id"):
        decode_id(number)
    with pytest.raises(OutOfLayout, match="no Snowflake id"):
        time_ms(number)


def test_a_time_filter_takes_the_whole_millisecond_and_nothing_before_it() -> None:
    ms = 1700000000000
    assert first_id_at(ms) == compose_id(ms, 0, 0)
    assert compose_id(ms - 1, 1023, 4095) == first_id_at(ms) - 1


def test_a_time_filter_may_ask_for_any_time() -> None:
    assert first_id_at(0) == 0
    assert first_id_at(LAST_MS + 1) == LAST_ID
