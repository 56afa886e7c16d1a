"""Times and ids as texts: how they go into JSON, and ids as they come in addresses."""

from datetime import UTC, datetime

from events.snowflake import LAST_ID


def rfc3339(ms: int) -> str:
    """Unix milliseconds as a time in UTC."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def id_in(text: str) -> int | None:
    """The id that a text spells, or None."""
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LAST_ID:
        return int(text)
    return None
