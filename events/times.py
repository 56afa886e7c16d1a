"""Times as people write them: parsing what clients send, formatting the times inside ids."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from events.ids.snowflake import EPOCH_MS, SMALLEST_DATED_ID, parse_decimal, time_ms

_RFC_3339_PATTERN: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_LEAP_SECOND: Final = re.compile(r"(?<=:)60(?=[.Zz+-])")
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MINUTE_TEXTS: Final = np.array([b"T%02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60)])
_SECOND_TEXTS: Final = np.array([b"%02d." % second for second in range(60)])
_MS_TEXTS: Final = np.array([b"%03dZ" % ms for ms in range(1000)])


class InvalidTime(ValueError):
    """A text is neither RFC 3339 nor a Snowflake id. The message is one for the client."""


def parse_time(text: str) -> int:
    """Unix ms of an RFC 3339 time, truncated and not rounded, or of a Snowflake id.

    A leap second has the Unix time of the second after it. Raises `InvalidTime`.
    """
    if (id := parse_decimal(text)) is not None and id >= SMALLEST_DATED_ID:
        return time_ms(id)
    if _RFC_3339_PATTERN.fullmatch(text):
        try:
            return _parse_rfc_3339(text.upper())
        except (ValueError, OverflowError):
            pass  # a day or an hour that doesn't exist: refused below
    raise InvalidTime(
        f"{text!r} is no time; write 2024-05-01T12:00:00Z (RFC 3339) or a Snowflake id"
    )


def _parse_rfc_3339(text: str) -> int:
    earlier, leaps = _LEAP_SECOND.subn("59", text)
    since_epoch = datetime.fromisoformat(earlier) - _UNIX_EPOCH
    if leaps:
        since_epoch += timedelta(seconds=1)
        if since_epoch % timedelta(days=1) >= timedelta(seconds=1):
            raise ValueError("leap seconds end days of UTC")
    return since_epoch // timedelta(milliseconds=1)


def rfc3339(ms: int) -> str:
    """Unix milliseconds as a time in UTC: `2024-05-01T12:00:00.000Z`."""
    time = _UNIX_EPOCH + timedelta(milliseconds=ms)
    return f"{time.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def optional_rfc3339(ms: int) -> str | None:
    """The same; None for 0, where there is no time."""
    return rfc3339(ms) if ms else None


def format_times(ids: Sequence[int]) -> list[str]:
    """The times inside ids, as `2024-05-01T12:00:00.000Z`."""
    return [time.decode() for time in render_times(ids)]


def render_times(ids: Sequence[int], prefix: bytes = b"") -> list[bytes]:
    """As `format_times`, in ASCII and each behind a prefix.

    The parts of all times are looked up in tables at once: formatting them one by one takes four
    times as long. The columns of the structured array lie side by side, so that the array, seen as
    plain bytes, holds the finished texts.
    """
    seconds, ms = np.divmod((np.array(ids, np.int64) >> 22) + EPOCH_MS, 1000)
    minutes, second = np.divmod(seconds, 60)
    days, minute = np.divmod(minutes, 24 * 60)
    rows = np.empty(len(ids), _row_dtype(len(prefix)))
    if prefix:
        rows["prefix"] = prefix
    rows["date"] = _format_dates(days)
    rows["minute"] = _MINUTE_TEXTS[minute]
    rows["second"] = _SECOND_TEXTS[second]
    rows["ms"] = _MS_TEXTS[ms]
    texts: list[bytes] = rows.view(f"S{rows.itemsize}").tolist()
    return texts


@cache
def _row_dtype(prefix_length: int) -> Any:
    prefix = [("prefix", f"S{prefix_length}")] if prefix_length else []
    return np.dtype([*prefix, ("date", "S10"), ("minute", "S7"), ("second", "S3"), ("ms", "S4")])


def _format_dates(days: NDArray[np.int64]) -> Any:
    """The dates of days since 1970; nearly always, all of a batch are of one day."""
    if len(days) and days.min() == days.max():
        return str(days[:1].view("M8[D]")[0]).encode()
    different, which = np.unique(days, return_inverse=True)
    return np.datetime_as_string(different.view("M8[D]")).astype("S10")[which]
