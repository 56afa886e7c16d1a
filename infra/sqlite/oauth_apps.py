"""Apps and their authorization codes in the accounts' SQLite file, `accounts.sqlite`."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from api.accounts.errors import AccountsUnavailable
from api.oauth.app_store import AppRecord, CodeRecord
from infra.sqlite.locked_connection import CHECKPOINTED_PRAGMAS, LockedConnection
from infra.sqlite.migrations import ACCOUNTS_SCHEMA

_CODE: Final = "digest, app, user, redirect_uri, scope, challenge, expires"


class SqliteApps:
    """The `AppStore` of one data folder; several processes may open the same file."""

    def __init__(self, path: Path | str) -> None:
        """`:memory:` keeps them in memory. Raises `AccountsUnavailable`."""
        self._connection = LockedConnection(
            path, ACCOUNTS_SCHEMA, CHECKPOINTED_PRAGMAS, AccountsUnavailable
        )
        self._db = self._connection.db

    async def add_app(self, app: AppRecord) -> None:
        values = app._replace(
            redirect_uris="\n".join(app.redirect_uris),  # type: ignore[arg-type]
            scopes=" ".join(sorted(app.scopes)),  # type: ignore[arg-type]
        )
        await self._connection.run(
            lambda: self._db.execute("INSERT INTO apps VALUES (?,?,?,?,?,?,?)", values)
        )

    async def find_apps(self, ids: Collection[int]) -> Mapping[int, AppRecord]:
        marks = ",".join("?" * len(ids))

        def select() -> Mapping[int, AppRecord]:
            rows = self._db.execute(f"SELECT * FROM apps WHERE id IN ({marks})", [*ids])
            return {
                id: AppRecord(
                    id, secret, name, website, tuple(uris.split("\n")), frozenset(scopes.split()),
                    made,
                )
                for id, secret, name, website, uris, scopes, made in rows.fetchall()
            }  # fmt: skip

        return await self._connection.run(select)

    async def add_code(self, code: CodeRecord, now_ms: int) -> None:
        def insert() -> None:
            self._db.execute("DELETE FROM app_codes WHERE expires <= ?", (now_ms,))
            self._db.execute(f"INSERT INTO app_codes ({_CODE}) VALUES (?,?,?,?,?,?,?)", code)

        await self._connection.run(insert)

    async def find_code(self, digest: bytes) -> CodeRecord | None:
        select = f"SELECT {_CODE} FROM app_codes WHERE digest = ?"
        row = await self._connection.run(lambda: self._db.execute(select, (digest,)).fetchone())
        return None if row is None else CodeRecord(*row)

    async def spend_code(self, digest: bytes) -> bool:
        update = "UPDATE app_codes SET spent = 1 WHERE digest = ? AND spent = 0"
        return await self._connection.run(lambda: self._db.execute(update, (digest,)).rowcount == 1)

    def close(self) -> None:
        self._connection.close()
