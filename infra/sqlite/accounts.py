"""Accounts in a SQLite file of their own, `accounts.sqlite`, beside the log.

Writes are rare and must survive power loss: WAL with full synchronisation. Erasing means erasing:
`secure_delete` overwrites the row, and the write-ahead log is truncated after each removal. Every
write is moved into the file at once: SQLite doesn't notice where a write-ahead log was cut, and an
account would be gone.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from api.accounts.account_store import AccountRecord, TimelineMarker
from api.accounts.errors import EmailTaken
from infra.sqlite.access_tokens import revoke_all_tokens
from infra.sqlite.accounts_file import AccountsFile, open_accounts_file


class SqliteAccounts:
    """The accounts of one data folder; several processes may open the same file."""

    def __init__(self, file: AccountsFile) -> None:
        """Raises `AccountsUnavailable`."""
        self._connection = open_accounts_file(file)
        self._db = self._connection.db

    async def get(self, user: int) -> AccountRecord | None:
        return await self._connection.run(lambda: self._select_account("user = ?", user))

    async def find_by_email(self, email: str) -> AccountRecord | None:
        return await self._connection.run(
            lambda: self._select_account("folded = ?", email.casefold())
        )

    async def put(self, account: AccountRecord) -> None:
        folded = account.email.casefold() if account.email is not None else None

        def upsert_row() -> None:
            try:
                self._db.execute(
                    "INSERT INTO accounts (user, email, folded, password, created, verified)"
                    " VALUES (?,?,?,?,?,?)"
                    " ON CONFLICT (user) DO UPDATE SET email = excluded.email,"
                    " folded = excluded.folded, verified = excluded.verified",
                    (
                        account.user,
                        account.email,
                        folded,
                        account.password_hash,
                        account.created_ms,
                        account.email_verified,
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise EmailTaken(str(error)) from error

        await self._connection.run(upsert_row)

    async def replace_password_hash(self, user: int, outdated: str | None, renewed: str) -> bool:
        return await self._change_one(
            "password = ? WHERE user = ? AND password IS ?", renewed, user, outdated
        )

    async def change_password(
        self, user: int, outdated: str | None, renewed: str, keep: int | None
    ) -> bool:
        def change() -> bool:
            update = "UPDATE accounts SET password = ? WHERE user = ? AND password IS ?"
            changed = self._db.execute(update, (renewed, user, outdated)).rowcount == 1
            if changed:
                revoke_all_tokens(self._db, user, keep)
            return changed

        return await self._connection.transact(change)

    async def mark_email_verified(self, user: int, email: str) -> bool:
        return await self._change_one("verified = 1 WHERE user = ? AND email = ?", user, email)

    async def remove(self, user: int) -> None:
        def erase_row() -> None:
            self._db.execute("DELETE FROM accounts WHERE user = ?", (user,))
            self._db.execute("DELETE FROM click_opt_outs WHERE user = ?", (user,))
            self._db.execute("DELETE FROM timeline_markers WHERE user = ?", (user,))
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await self._connection.run(erase_row)

    async def opt_out_of_clicks(self, user: int, out: bool) -> None:
        change = (
            "INSERT OR IGNORE INTO click_opt_outs VALUES (?)"
            if out
            else "DELETE FROM click_opt_outs WHERE user = ?"
        )
        await self._connection.run(lambda: self._db.execute(change, (user,)))

    async def opted_out_of_clicks(self, user: int) -> bool:
        find = "SELECT 1 FROM click_opt_outs WHERE user = ?"
        return await self._connection.run(
            lambda: self._db.execute(find, (user,)).fetchone() is not None
        )

    async def read_markers(self, user: int) -> Mapping[str, TimelineMarker]:
        find = "SELECT timeline, last_read, version, updated FROM timeline_markers WHERE user = ?"
        rows = await self._connection.run(lambda: self._db.execute(find, (user,)).fetchall())
        return {timeline: TimelineMarker(*marker) for timeline, *marker in rows}

    async def move_marker(
        self, user: int, timeline: str, last_read: int, now_ms: int
    ) -> TimelineMarker:
        def upsert_row() -> Any:
            return self._db.execute(
                "INSERT INTO timeline_markers VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET"
                " last_read = excluded.last_read, version = version + 1, updated = excluded.updated"
                " RETURNING last_read, version, updated",
                (user, timeline, last_read, now_ms),
            ).fetchone()

        return TimelineMarker(*await self._connection.run(upsert_row))

    def close(self) -> None:
        self._connection.close()

    async def _change_one(self, change: str, *values: object) -> bool:
        update = f"UPDATE accounts SET {change}"
        return await self._connection.run(lambda: self._db.execute(update, values).rowcount == 1)

    def _select_account(self, where: str, value: object) -> AccountRecord | None:
        row = self._db.execute(
            f"SELECT user, email, password, created, verified FROM accounts WHERE {where}", (value,)
        ).fetchone()
        if row is None:
            return None
        user, email, password, created, verified = row
        return AccountRecord(user, email, password, created, bool(verified))
