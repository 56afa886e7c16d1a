"""Times and ids as texts: how they go into JSON, and ids as they come in addresses."""

from datetime import datetime, timedelta
from typing import Final

from events.ids.snowflake import LAST_ID

_UNIX_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # UTC, unsaid: isoformat would say it otherwise


def rfc3339(ms: int) -> str:
    """Unix milliseconds as a time in UTC."""
    return f"{(_UNIX_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec='milliseconds')}Z"


def parse_id(text: str) -> int | None:
    """The id that a text spells, or None."""
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LAST_ID:
        return int(text)
    return None
