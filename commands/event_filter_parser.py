"""Filters on events as people and clients write them: positions, times, names, references."""

from collections.abc import Sequence
from typing import Final

from commands.errors import InvalidInput
from commands.references import ReferenceResolver
from events.event_filter import EventFilter
from events.event_types import EVENT_TYPES
from events.ids.snowflake import LAST_ID, first_id_at, parse_decimal
from events.log import LOG_START
from events.times import InvalidTime, parse_time

_EVENT_TYPE_NAMES: Final = tuple(sorted(name for name, _ in EVENT_TYPES.values()))


def parse_filter(
    references: ReferenceResolver,
    *,
    after: str | None = None,
    since: str | None = None,
    to: str | None = None,
    types: Sequence[str] = (),
    user: str | None = None,
    stream: str | None = None,
) -> EventFilter:
    """The filter with these conditions; None and () stand for no condition.

    Events of the time `since` match, those of the time `to` don't. A Snowflake id as a time is
    exactly that id. Raises `InvalidInput` and `NotFound`.
    """
    for name in types:
        if name not in _EVENT_TYPE_NAMES:
            known = ", ".join(_EVENT_TYPE_NAMES)
            raise InvalidInput("type-unknown", f"no event has the type {name!r}; there are {known}")
    return EventFilter(
        after=LOG_START if after is None else _parse_position(after),
        first_id=0 if since is None else _parse_first_id(since),
        before_id=LAST_ID + 1 if to is None else _parse_first_id(to),
        types=frozenset(types) if types else None,
        actor=None if user is None else references.user_id(user),
        stream=stream,
    )


def checked_time(text: str) -> int:
    """The Unix ms of a time as `events.times.parse_time` reads it. Raises `InvalidInput`."""
    try:
        return parse_time(text)
    except InvalidTime as error:
        raise InvalidInput("time-invalid", str(error)) from None


def _parse_position(text: str) -> int:
    if (position := parse_decimal(text)) is not None:
        return position
    raise InvalidInput(
        "position-invalid", f"{text!r} is no position; give one from an earlier response"
    )


def _parse_first_id(text: str) -> int:
    ms = checked_time(text)
    id = parse_decimal(text)
    return first_id_at(ms) if id is None else id
