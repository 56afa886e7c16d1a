"""Lines made inside SQLite, for exports.

SQLite writes all of a line but the time, which it would take longer for than for the rest. So no
Python object is made for each field, and a line costs little more than reading the row.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from events.lines import Lines, times

_BEGIN: Final = b'{"time":"'
_REST: Final = (
    '","position":"%d","id":"%d","stream":"%s","version":%d,"type":"%s","schema":%d,'
    '"actor":"%d","causation":"%d","correlation":"%d","data":%s}'
)

LINES: Final = f"""
    SELECT position, id, CAST(
      printf('{_REST}', position, id, stream, version, type, schema, actor, causation, correlation,
             data) || char(10) || '{_BEGIN.decode()}' AS BLOB)
    FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?
"""
"""(position, id, the line from behind its time to the time of the next line)."""


def lines_of(rows: Sequence[tuple[int, int, Any]]) -> Lines | None:
    """The lines that rows of `LINES` make; None for no rows."""
    if not rows:
        return None
    positions, ids, rests = zip(*rows, strict=True)
    written = [time.encode() for time in times(ids)]
    parts = [_BEGIN, *chain.from_iterable(zip(written, rests, strict=True))]
    parts[-1] = parts[-1][: -len(_BEGIN)]
    return Lines(b"".join(parts), len(rows), positions[0], positions[-1], ids[-1])
