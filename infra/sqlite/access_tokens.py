"""Access tokens in the accounts' SQLite file, `accounts.sqlite`.

A revocation takes the next number in the transaction that marks its tokens, so a process that read
the numbers up to one has seen every revocation with a lower one.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from api.accounts.token_store import Revocations, TokenClaims
from infra.sqlite.accounts_file import AccountsFile, open_accounts_file

_COLUMNS: Final = "id, digest, user, app, scopes, made, used, expires"


class SqliteTokens:
    """The `TokenStore` of one data folder; several processes may open the same file."""

    def __init__(self, file: AccountsFile) -> None:
        """Raises `AccountsUnavailable`."""
        self._connection = open_accounts_file(file)
        self._db = self._connection.db

    async def add_token(self, claims: TokenClaims) -> None:
        def insert() -> None:
            self._db.execute("DELETE FROM access_tokens WHERE expires <= ?", (claims.made_ms,))
            self._insert(claims, "INSERT")

        await self._connection.transact(insert)

    async def adopt_signed(self, claims: TokenClaims, now_ms: int) -> bool:
        def adopt() -> bool:
            (until,) = self._db.execute("SELECT signed_until FROM token_state").fetchone()
            ended = self._db.execute(
                "SELECT 1 FROM ended_signed_tokens WHERE user = ?", (claims.user,)
            ).fetchone()
            if until <= now_ms or ended is not None:
                return False
            self._insert(claims, "INSERT OR IGNORE")
            found = self._db.execute(
                "SELECT revoked FROM access_tokens WHERE digest = ?", (claims.digest,)
            ).fetchone()
            return found is not None and found[0] is None

        return await self._connection.transact(adopt)

    async def find_token(self, digest: bytes) -> TokenClaims | None:
        found = await self._connection.run(
            lambda: self._select("digest = ? AND revoked IS NULL", digest)
        )
        return found[0] if found else None

    async def tokens_of(self, user: int, now_ms: int) -> Sequence[TokenClaims]:
        where = "user = ? AND expires > ? AND revoked IS NULL ORDER BY made DESC, id DESC"
        return await self._connection.run(lambda: self._select(where, user, now_ms))

    async def revoke_token(self, id: int, user: int | None = None) -> bool:
        where = "id = ?" if user is None else "id = ? AND user = ?"
        values = (id,) if user is None else (id, user)
        return await self._connection.transact(lambda: _revoke(self._db, where, *values)) > 0

    async def revoke_tokens(
        self, user: int, *, keep: int | None = None, app: int | None = None
    ) -> int:
        def revoke() -> int:
            if app is not None:
                self._db.execute("DELETE FROM app_codes WHERE user = ? AND app = ?", (user, app))
                where = "user = ? AND id IS NOT ? AND app = ?"
                return _revoke(self._db, where, user, keep, app)
            return revoke_all_tokens(self._db, user, keep)

        return await self._connection.transact(revoke)

    async def note_use(self, ids: Sequence[int], now_ms: int) -> None:
        rows = [(now_ms, id) for id in ids]
        update = "UPDATE access_tokens SET used = max(used, ?) WHERE id = ?"
        await self._connection.transact(lambda: self._db.executemany(update, rows))

    async def revoked_after(self, number: int | None) -> Revocations:
        def select() -> Revocations:
            # First: what is revoked in between is read now, and once more the next time.
            (last,) = self._db.execute("SELECT revocations FROM token_state").fetchone()
            if number is None or last <= number:
                return Revocations(last, ())
            rows = self._db.execute(
                "SELECT digest FROM access_tokens WHERE revoked > ?", (number,)
            ).fetchall()
            return Revocations(last, [digest for (digest,) in rows])

        return await self._connection.run(select)

    def close(self) -> None:
        self._connection.close()

    def _insert(self, claims: TokenClaims, verb: str) -> None:
        self._db.execute(
            f"{verb} INTO access_tokens ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)",
            (
                claims.id, claims.digest, claims.user, claims.app, " ".join(sorted(claims.scopes)),
                claims.made_ms, claims.used_ms, claims.expires_ms,
            ),
        )  # fmt: skip

    def _select(self, where: str, *values: object) -> list[TokenClaims]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM access_tokens WHERE {where}", values)
        return [
            TokenClaims(id, digest, user, app, frozenset(scopes.split()), *times)
            for id, digest, user, app, scopes, *times in rows.fetchall()
        ]


def revoke_all_tokens(db: sqlite3.Connection, user: int, keep: int | None) -> int:
    """Revoke a user's tokens but `keep`, and remove the codes; within a transaction. Returns how
    many."""
    db.execute("DELETE FROM app_codes WHERE user = ?", (user,))
    db.execute("INSERT OR IGNORE INTO ended_signed_tokens VALUES (?)", (user,))
    return _revoke(db, "user = ? AND id IS NOT ?", user, keep)


def _revoke(db: sqlite3.Connection, where: str, *values: object) -> int:
    db.execute("UPDATE token_state SET revocations = revocations + 1")
    return db.execute(
        "UPDATE access_tokens SET revoked = (SELECT revocations FROM token_state)"
        f" WHERE revoked IS NULL AND {where}",
        values,
    ).rowcount
