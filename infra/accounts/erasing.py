"""Finishes the erasures that a crash cut off.

An account is erased after its end is in the log. Who dies in between leaves it, so whoever starts
next looks at the ends that came since the last look. That is remembered in a file beside the log;
without it all of them are looked at, which is only slower.
"""

import os
from pathlib import Path
from typing import Final

from api.accounts import Accounts
from events.codec import CODEC
from events.log import START, EventLog
from events.schema import STORED, UserDeleted

READ: Final = 1000
"""Ends of accounts read at once."""


async def finish_erasures(log: EventLog, accounts: Accounts, done: Path) -> int:
    """Erase what is left of deleted accounts; how many there were. `done` is the file.

    Raises `LogError`, `AccountsUnavailable`, `OSError`.
    """
    after, head, erased = _read(done), log.head(), 0
    if after > head:
        after = START  # the folder holds another log now
    while after < head:
        rows = log.read_all(after, types=[STORED[UserDeleted][0]], limit=READ, until=head)
        for row in rows:
            event = CODEC.event(row.type, row.schema, row.data)
            if isinstance(event, UserDeleted) and await accounts.of(event.user) is not None:
                await accounts.remove(event.user)
                erased += 1
        after = rows[-1].position if len(rows) == READ else head
    _write(done, head)
    return erased


def _read(done: Path) -> int:
    try:
        return int(done.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return START


def _write(done: Path, position: int) -> None:
    """A reader sees the old number or the new one; several processes may come here at once."""
    new = done.with_name(f".{done.name}-{os.getpid()}")
    new.write_text(str(position), encoding="ascii")
    new.replace(done)
