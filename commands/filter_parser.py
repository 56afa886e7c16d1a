"""Selections of events as people and clients write them: positions, times, names, references."""

import re
from collections.abc import Sequence
from typing import Final

from commands.errors import InvalidInput
from commands.references import ReferenceResolver
from commands.times import parse_time
from events.event_filter import EventFilter
from events.ids.snowflake import LAST_ID, first_id_at
from events.log import LOG_START
from events.schema import EVENT_TYPES

EVENT_TYPE_NAMES: Final = tuple(sorted(name for name, _ in EVENT_TYPES.values()))
"""The stored names that an event can have."""

_NUMBER_PATTERN: Final = re.compile(r"[0-9]{1,19}")


def parse_position(written: str) -> int:
    """A position. Raises `InvalidInput`."""
    if _NUMBER_PATTERN.fullmatch(written) and (position := int(written)) <= LAST_ID:
        return position
    raise InvalidInput(
        "position-invalid", f"{written!r} is no position; give one that an answer gave"
    )


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
    """The selection that these describe; None and nothing stand for no condition.

    Events of the time `since` are wanted, those of the time `to` are not. A Snowflake id as a time
    is exactly that id. Raises `InvalidInput` and `NotFound`.
    """
    for name in types:
        if name not in EVENT_TYPE_NAMES:
            raise InvalidInput(
                "type-unknown", f"no event has the type {name!r}; there are {_listed_types()}"
            )
    return EventFilter(
        after=LOG_START if after is None else parse_position(after),
        first_id=0 if since is None else _parse_first_id(since),
        before_id=LAST_ID + 1 if to is None else _parse_first_id(to),
        types=frozenset(types) if types else None,
        actor=None if user is None else references.user_id(user),
        stream=stream,
    )


def _parse_first_id(written: str) -> int:
    ms = parse_time(written)
    return int(written) if _NUMBER_PATTERN.fullmatch(written) else first_id_at(ms)


def _listed_types() -> str:
    return ", ".join(EVENT_TYPE_NAMES)
