"""The port to the accounts: what a person signs in with, kept beside the log and never in it.

The log can't forget, so nothing that must be erasable goes there. An account is found by the id of
its user; a user without one (imported, say) can't sign in. API processes and `starling import`
write accounts; the adapters are in `infra.sqlite` and `infra.mongodb`.
"""

from typing import Final, NamedTuple, Protocol

from events.codec import EVENT_CODEC
from events.log import LOG_START, EventLog
from events.schema import EVENT_TYPES, UserDeleted

DELETIONS_PER_READ: Final = 1000
"""Events read at once by `erase_deleted_accounts`."""


class AccountRecord(NamedTuple):
    """`password_hash` is argon2's, never the password; `created_ms` is Unix milliseconds."""

    user: int
    email: str | None
    password_hash: str | None
    created_ms: int


class AccountStore(Protocol):
    """Accounts by user. Every method may raise `AccountsUnavailable`."""

    async def get(self, user: int) -> AccountRecord | None:
        """The account of a user."""
        ...

    async def find_by_email(self, email: str) -> AccountRecord | None:
        """The account that has this email address."""
        ...

    async def put(self, account: AccountRecord) -> None:
        """Add the account, or replace its user's. Durable on return. Raises `EmailTaken`."""
        ...

    async def replace_password_hash(self, user: int, outdated: str, renewed: str) -> None:
        """Store another hash of the same password, unless the account has got another one by now
        or is gone. Durable on return.
        """
        ...

    async def remove(self, user: int) -> None:
        """Erase the account of a user; no error where there is none."""
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...


async def erase_deleted_accounts(log: EventLog, accounts: AccountStore, after: int) -> int:
    """Erase the accounts of users whose deletion is in the log behind the position `after`.

    An account is erased after its user's deletion is in the log. A process that is killed in
    between leaves it, so the next one does this when it starts. Returns the position to give as
    `after` next time. Raises `LogError`, `AccountsUnavailable`.
    """
    head = log.head()
    if after > head:
        after = LOG_START  # it is a position of another log
    while after < head:
        rows = log.read_all(
            after, types=[EVENT_TYPES[UserDeleted][0]], limit=DELETIONS_PER_READ, until=head
        )
        for row in rows:
            event = EVENT_CODEC.decode(row.type, row.schema, row.data)
            if isinstance(event, UserDeleted) and await accounts.get(event.user) is not None:
                await accounts.remove(event.user)
        after = rows[-1].position if len(rows) == DELETIONS_PER_READ else head
    return head
