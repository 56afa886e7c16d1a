"""Times as clients write them: RFC 3339, or a Snowflake id, which holds one."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from commands.errors import InvalidInput
from events.ids.snowflake import LAST_ID, time_ms

_RFC_3339_PATTERN: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_ID_PATTERN: Final = re.compile(r"\d{1,19}", re.ASCII)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(written: str) -> int:
    """Milliseconds since the Unix epoch, cut off, not rounded. Raises `InvalidInput`."""
    if _ID_PATTERN.fullmatch(written) and (id := int(written)) <= LAST_ID:
        return time_ms(id)
    if _RFC_3339_PATTERN.fullmatch(written):
        try:
            return (datetime.fromisoformat(written.upper()) - _UNIX_EPOCH) // timedelta(
                milliseconds=1
            )
        except (ValueError, OverflowError):
            pass  # a day or an hour that doesn't exist: refused below
    raise InvalidInput(
        "time-invalid",
        f"{written!r} is no time; write 2024-05-01T12:00:00Z (RFC 3339) or a Snowflake id",
    )
