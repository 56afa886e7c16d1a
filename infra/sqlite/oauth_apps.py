"""Apps and their authorization codes in the accounts' SQLite file, `accounts.sqlite`."""

from collections.abc import Collection, Mapping
from typing import Final

from api.oauth.app_store import AppRecord, CodeRecord
from infra.sqlite.accounts_file import AccountsFile, open_accounts_file

_CODE: Final = "digest, app, user, redirect_uri, scope, challenge, expires"


class SqliteApps:
    """The `AppStore` of one data folder; several processes may open the same file."""

    def __init__(self, file: AccountsFile) -> None:
        """Raises `AccountsUnavailable`."""
        self._connection = open_accounts_file(file)
        self._db = self._connection.db

    async def add_app(self, app: AppRecord) -> None:
        values = (
            app.id, app.secret_digest, app.name, app.website, "\n".join(app.redirect_uris),
            " ".join(sorted(app.scopes)), app.made_ms,
        )  # fmt: skip
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

    async def remove_unused(self, made_before_ms: int, most: int) -> int:
        delete = (
            "DELETE FROM apps WHERE id IN (SELECT id FROM apps WHERE made < ?"
            " AND NOT EXISTS (SELECT 1 FROM access_tokens WHERE app = apps.id)"
            " AND NOT EXISTS (SELECT 1 FROM app_codes WHERE app = apps.id) LIMIT ?)"
        )
        values = (made_before_ms, most)
        return await self._connection.run(lambda: self._db.execute(delete, values).rowcount)

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
