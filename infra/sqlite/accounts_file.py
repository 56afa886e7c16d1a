"""Connections to `accounts.sqlite`, which holds accounts, access tokens and apps.

They are in one file so that another password and the end of the sessions before it are one
transaction.
"""

from pathlib import Path

from api.accounts.errors import AccountsUnavailable
from infra.sqlite.locked_connection import CHECKPOINTED_PRAGMAS, LockedConnection
from infra.sqlite.migrations import ACCOUNTS_SCHEMA

AccountsFile = Path | str | LockedConnection
"""The file, `:memory:`, or the connection of another adapter, to be shared with it."""


def open_accounts_file(file: AccountsFile) -> LockedConnection:
    """The connection of an adapter. Raises `AccountsUnavailable`."""
    if isinstance(file, LockedConnection):
        return file
    return LockedConnection(file, ACCOUNTS_SCHEMA, CHECKPOINTED_PRAGMAS, AccountsUnavailable)
