"""Times as people write them, and those inside ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.ids.snowflake import time_ms
from events.times import InvalidTime, format_times, parse_time, render_times, rfc3339


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-05-01T12:00:00Z", 1_714_564_800_000),
        ("2024-05-01t12:00:00z", 1_714_564_800_000),
        ("2024-05-01 12:00:00Z", 1_714_564_800_000),
        ("2024-05-01T14:30:00+02:30", 1_714_564_800_000),
        ("2024-05-01T12:00:00.5Z", 1_714_564_800_500),
        ("2024-05-01T12:00:00.123456789Z", 1_714_564_800_123),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T23:59:60.25Z", 1_483_228_800_250),
        ("2017-01-01T01:59:60+02:00", 1_483_228_800_000),
        ("2016-12-31T15:59:60-08:00", 1_483_228_800_000),
        ("100000000000000", (10**14 >> 22) + 1_288_834_974_657),
        ("1789286154345353216", (1789286154345353216 >> 22) + 1_288_834_974_657),
    ],
)
def test_a_time_is_rfc_3339_or_an_id(written: str, ms: int) -> None:
    assert parse_time(written) == ms


@pytest.mark.parametrize(
    "written",
    [
        "",
        "now",
        "2024-05-01",
        "2024-05-01T12:00Z",
        "2024-05-01T12:00:00",
        "2023-02-29T00:00:00Z",
        "2024-05-01T25:00:00Z",
        "2024-05-01T12:00:00+0200",
        "2024-05-01T12:00:00.Z",
        "0001-01-01T00:00:00+23:59:00",
        "\u0662024-05-01T12:00:00Z",
        "9223372036854775808",
        "-1",
        "0",
        "20",
        "99999999999999",
        "9" * 4400,
        "2024-05-01T12:00:60Z",
        "2016-12-31T23:59:61Z",
        "2016-12-31T23:60:00Z",
        "2016-12-31T23:59:60+02:00",
        "2024-05-01T12:00:00Z\n",
    ],
)
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(InvalidTime, match="is no time; write"):
        parse_time(written)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_at_the_ends_of_the_calendar_break_nothing(written: str) -> None:
    assert isinstance(parse_time(written), int)


@given(st.lists(st.integers(0, (1 << 63) - 1), max_size=30))
def test_times_are_those_of_the_ids_to_the_millisecond(ids: list[int]) -> None:
    expected = [str(np.datetime64(time_ms(id), "ms")) + "Z" for id in ids]
    assert format_times(ids) == expected
    assert format_times(ids[:1]) == expected[:1]
    assert render_times(ids, b"at ") == [b"at " + time.encode() for time in expected]


def test_no_ids_have_no_times() -> None:
    assert format_times([]) == []


@pytest.mark.parametrize("id", [0, 1789286154345353216])
def test_a_time_is_written_as_the_time_inside_an_id_is(id: int) -> None:
    assert [rfc3339(time_ms(id))] == format_times([id])
