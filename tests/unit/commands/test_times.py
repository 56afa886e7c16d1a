"""Times as clients write them."""

import pytest

from commands.errors import InvalidInput
from commands.times import parse_time


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
        ("0", 1_288_834_974_657),
        ("20", 1_288_834_974_657),
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
    ],
)
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_time(written)
    assert caught.value.code == "time-invalid"


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_at_the_ends_of_the_calendar_break_nothing(written: str) -> None:
    assert isinstance(parse_time(written), int)
