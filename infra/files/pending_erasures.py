"""Finishes the erasures that a crash cut off.

An account is erased after its end is in the log. Who dies in between leaves it, so whoever starts
next looks at the ends that came since the last look. That is remembered in a file beside the log;
without it all of them are looked at, which is only slower.
"""

from pathlib import Path
from typing import Final

from api.accounts.account_store import AccountStore
from events.codec import EVENT_CODEC
from events.log import LOG_START, EventLog
from events.schema import EVENT_TYPES, UserDeleted
from infra.files.atomic_write import write_atomically

DELETIONS_PER_READ: Final = 1000
"""Ends of accounts read at once."""


async def finish_erasures(log: EventLog, accounts: AccountStore, done: Path) -> int:
    """Erase what is left of deleted accounts; how many there were. `done` is the file.

    Raises `LogError`, `AccountsUnavailable`, `OSError`.
    """
    after, head, erased = _read_position(done), log.head(), 0
    if after > head:
        after = LOG_START  # the folder holds another log now
    while after < head:
        rows = log.read_all(
            after, types=[EVENT_TYPES[UserDeleted][0]], limit=DELETIONS_PER_READ, until=head
        )
        for row in rows:
            event = EVENT_CODEC.decode(row.type, row.schema, row.data)
            if isinstance(event, UserDeleted) and await accounts.get(event.user) is not None:
                await accounts.remove(event.user)
                erased += 1
        after = rows[-1].position if len(rows) == DELETIONS_PER_READ else head
    write_atomically(done, b"%d" % head)
    return erased


def _read_position(done: Path) -> int:
    try:
        return int(done.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return LOG_START
