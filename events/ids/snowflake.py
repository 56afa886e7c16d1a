"""The layout of Snowflake ids: 63 bits that say when and by which machine an id was made.

    | 41 bits: ms since 2010-11-04T01:42:54.657Z | 10 bits: machine | 12 bits: sequence |

Layout and epoch are Twitter's, so that real tweet ids decode to their times. An id is an identity
and a rough time, never a position in the log: machines commit out of order.

    SnowflakeError                an id can't be made or read
    +-- ClockWentBack             the clock is more than 10 s behind the ids made already
    +-- MachineIdLost             the lease on the machine id is over
    +-- OutOfLayout (ValueError)  a time, machine, sequence or id that the bits can't hold
"""

import re
from typing import Final, NamedTuple

EPOCH_MS = 1288834974657
"""Unix ms of id time 0."""

IDS_PER_MS = 1 << 12
"""Ids that one machine can make in one ms."""

ORDINARY_MACHINES = range(512)
"""Machine ids of processes that make Snowflake ids for what happens now, each on a lease."""

TICKET_MACHINES = range(512, 768)
"""Machine ids of blocks from ticket servers (`events.ids.id_blocks`)."""

ID_SERVER_MACHINES = range(768, 1008)
"""Machine ids of blocks from an id server."""

IMPORT_MACHINES = range(1008, 1024)
"""Machine ids reserved for ids with a given time (`ImportIdGenerator`)."""

LAST_ID = (1 << 63) - 1

SMALLEST_DATED_ID: Final = 10**14
"""Of seven hours after the epoch. Where a text may be a time or a position, smaller numbers are
positions; where it must be a time, they are mistakes."""

_DECIMAL: Final = re.compile(r"[0-9]{1,19}")
LAST_MS = EPOCH_MS + (1 << 41) - 1
"""Unix ms of the last time that 41 bits hold, in 2080."""


class SnowflakeError(Exception):
    """An id can't be made or read."""


class ClockWentBack(SnowflakeError):
    """The clock is more than 10 s behind the newest id."""


class MachineIdLost(SnowflakeError):
    """The machine id may belong to another process by now: no id may be made with it."""


class OutOfLayout(SnowflakeError, ValueError):
    """A time, machine, sequence or id doesn't fit the layout."""


class SnowflakeParts(NamedTuple):
    """Unix ms, machine (0-1023), sequence within the ms (0-4095)."""

    ms: int
    machine: int
    sequence: int


def compose_id(ms: int, machine: int, sequence: int) -> int:
    """The id of these parts (`ms` since the Unix epoch). Raises OutOfLayout."""
    if not EPOCH_MS <= ms <= LAST_MS:
        raise OutOfLayout(
            f"time {ms} ms is outside what an id can hold ({EPOCH_MS} to {LAST_MS}, "
            "2010-11-04 to 2080-07-10): check the clock or the given time"
        )
    if not 0 <= machine < 1024:
        raise OutOfLayout(f"machine {machine} is not in 0-1023")
    if not 0 <= sequence < IDS_PER_MS:
        raise OutOfLayout(f"sequence {sequence} is not in 0-4095")
    return (ms - EPOCH_MS) << 22 | machine << 12 | sequence


def decode_id(snowflake: int) -> SnowflakeParts:
    """The parts of an id. Raises OutOfLayout for what is no 63-bit number."""
    return SnowflakeParts(time_ms(snowflake), snowflake >> 12 & 1023, snowflake & 4095)


def time_ms(snowflake: int) -> int:
    """When an id was made, in Unix ms. Raises OutOfLayout."""
    if not 0 <= snowflake <= LAST_ID:
        raise OutOfLayout(f"{snowflake} is no Snowflake id: it doesn't fit 63 bits")
    return (snowflake >> 22) + EPOCH_MS


def parse_decimal(text: str) -> int | None:
    """The id or position that a text from outside is: 0 to `LAST_ID`; None for any other text.

    `int()` would take signs, spaces, underscores and the digits of every script, and its own limit
    on digits is an error of another kind.
    """
    if _DECIMAL.fullmatch(text) and (number := int(text)) <= LAST_ID:
        return number
    return None


def first_id_at(unix_ms: int) -> int:
    """The smallest id of a ms, to filter by time: `id >= first_id_at(ms)` is 'at ms or later'.

    Times outside the layout give its first or last id, so that a filter may have any time.
    """
    if unix_ms > LAST_MS:
        return LAST_ID
    return max(0, unix_ms - EPOCH_MS) << 22
