"""Lines made inside SQLite, for exports and the feed.

SQLite writes all of a line but the time, which it would take longer for than for the rest. So no
Python object is made for each field, and a line costs little more than reading the row.
"""

from collections.abc import Sequence
from itertools import chain
from operator import add
from sqlite3 import Cursor
from typing import Any, Final

from events.json_lines import JsonLines, render_openings
from events.owned_lines import OwnedLines

_LINE_FORMAT: Final = (
    '","position":"%d","id":"%d","stream":"%s","version":%d,"type":"%s","schema":%d,'
    '"actor":"%d","causation":"%d","correlation":"%d","data":%s}'
)
_FIELDS: Final = "position, id, stream, version, type, schema, actor, causation, correlation, data"

_ROWS_PER_FETCH: Final = 250
"""Rows at a time: the memory of their tuples is at hand for the next ones."""

SELECT_LINES: Final = f"""
    SELECT position, id, CAST(printf('{_LINE_FORMAT}\n', {_FIELDS}) AS BLOB)
    FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?
"""
"""(position, id, the line from behind its time to its line feed)."""

SELECT_OWNED_LINES: Final = f"""
    SELECT id,
      CASE WHEN stream >= 'follow-' AND stream < 'follow.' THEN CAST(substr(stream, 8) AS INTEGER)
      ELSE actor END,
      CAST(printf('{_LINE_FORMAT}', {_FIELDS}) AS BLOB)
    FROM events WHERE position > ? ORDER BY position LIMIT ?
"""
"""(id, owner, the line from behind its time). A cast ends at the next dash."""


def lines_from_rows(rows: Sequence[tuple[int, int, Any]]) -> JsonLines | None:
    """The lines that rows of `LINES` make; None for no rows."""
    if not rows:
        return None
    positions, ids, rests = zip(*rows, strict=True)
    text = b"".join(chain.from_iterable(zip(render_openings(ids), rests, strict=True)))
    return JsonLines(text, len(rows), positions[0], positions[-1], ids[-1])


def owned_lines_from_cursor(found: Cursor) -> OwnedLines:
    """The lines that rows of `SELECT_OWNED_LINES` make."""
    ids, owners, rests = list[int](), list[int](), list[bytes]()
    while rows := found.fetchmany(_ROWS_PER_FETCH):
        some = zip(*rows, strict=True)
        ids += next(some)
        owners += next(some)
        rests += next(some)
    return OwnedLines(ids, owners, list(map(add, render_openings(ids), rests)))
