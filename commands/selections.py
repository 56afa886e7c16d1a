"""Selections of events as people and clients write them: positions, times, names, references."""

import re
from collections.abc import Sequence
from typing import Final

from commands.errors import Invalid
from commands.references import References
from commands.times import parse_time
from events.log import START
from events.schema import STORED
from events.selection import Selection
from events.snowflake import LAST_ID, first_id_at

TYPES: Final = tuple(sorted(name for name, _ in STORED.values()))
"""The stored names that an event can have."""

_NUMBER: Final = re.compile(r"[0-9]{1,19}")


def position_in(written: str) -> int:
    """A position. Raises `Invalid`."""
    if _NUMBER.fullmatch(written) and (position := int(written)) <= LAST_ID:
        return position
    raise Invalid("position-invalid", f"{written!r} is no position; give one that an answer gave")


def selection_of(
    references: References,
    *,
    after: str | None = None,
    since: str | None = None,
    to: str | None = None,
    types: Sequence[str] = (),
    user: str | None = None,
    stream: str | None = None,
) -> Selection:
    """The selection that these describe; None and nothing stand for no condition.

    Events of the time `since` are wanted, those of the time `to` are not. A Snowflake id as a time
    is exactly that id. Raises `Invalid` and `NotFound`.
    """
    for name in types:
        if name not in TYPES:
            raise Invalid("type-unknown", f"no event has the type {name!r}; there are {_listed()}")
    return Selection(
        after=START if after is None else position_in(after),
        first_id=0 if since is None else _id_at(since),
        before_id=LAST_ID + 1 if to is None else _id_at(to),
        types=frozenset(types) if types else None,
        user=None if user is None else references.user(user),
        stream=stream,
    )


def _id_at(written: str) -> int:
    ms = parse_time(written)
    return int(written) if _NUMBER.fullmatch(written) else first_id_at(ms)


def _listed() -> str:
    return ", ".join(TYPES)
