"""The port to the accounts: what a person signs in with, kept beside the log and never in it.

The log can't forget, so nothing that must be erasable goes there. An account is found by the id of
its user; a user without one (imported, say) can't sign in. API processes and `starling import`
write accounts; the adapters are in `infra.sqlite` and `infra.mongodb`.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class AccountRecord(NamedTuple):
    """`password_hash` is argon2's, never the password; `created_ms` is Unix milliseconds."""

    user: int
    email: str | None
    password_hash: str | None
    created_ms: int
    email_verified: bool = False
    """Whether a link that was sent to `email` came back."""


class TimelineMarker(NamedTuple):
    """How far a user read a timeline, by the id of an entry."""

    last_read: int
    version: int
    """How often it was moved."""
    updated_ms: int
    """When it was moved last, in Unix ms."""


class AccountStore(Protocol):
    """Accounts by user. Every method may raise `AccountsUnavailable`."""

    async def get(self, user: int) -> AccountRecord | None:
        """The account of a user."""
        ...

    async def find_by_email(self, email: str) -> AccountRecord | None:
        """The account that has this email address."""
        ...

    async def put(self, account: AccountRecord) -> None:
        """Add the account, or give its user another email address; the password stays, which
        another request may be changing. Durable on return. Raises `EmailTaken`.
        """
        ...

    async def replace_password_hash(self, user: int, outdated: str | None, renewed: str) -> bool:
        """Store another hash of the same password. False where the account has not the outdated one
        (any more), or is gone. Durable on return.
        """
        ...

    async def change_password(
        self, user: int, outdated: str | None, renewed: str, keep: int | None
    ) -> bool:
        """Store the hash of another password and revoke the user's tokens but `keep`, as
        `TokenStore.revoke_tokens` does, in one step: no kill leaves a session open that began with
        the password of before. False, and nothing done, where the account has not the outdated
        hash (any more), or is gone. Durable on return.
        """
        ...

    async def mark_email_verified(self, user: int, email: str) -> bool:
        """Remember that this address is the user's. False where the account has another one, or is
        gone. Durable on return.
        """
        ...

    async def remove(self, user: int) -> None:
        """Erase the account of a user; no error where there is none."""
        ...

    async def opt_out_of_clicks(self, user: int, out: bool) -> None:
        """Remember whether a user doesn't want clicks to be recorded; `remove` forgets it. Durable
        on return.
        """
        ...

    async def opted_out_of_clicks(self, user: int) -> bool:
        """Whether a user doesn't want clicks to be recorded."""
        ...

    async def read_markers(self, user: int) -> Mapping[str, TimelineMarker]:
        """How far a user read each timeline, by the names that `move_marker` was given."""
        ...

    async def move_marker(
        self, user: int, timeline: str, last_read: int, now_ms: int
    ) -> TimelineMarker:
        """Remember how far a user read a timeline; `remove` forgets it. Of two processes that move
        one at once, the later one's holds, and both have counted. Durable on return.
        """
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...
