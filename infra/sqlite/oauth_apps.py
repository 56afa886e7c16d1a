"""Apps and their authorization codes in the accounts' SQLite file, `accounts.sqlite`."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, TypeVar

from api.accounts.errors import AccountsUnavailable
from api.oauth.app_store import AppRecord, CodeRecord
from infra.process.file_faults import FileFault
from infra.sqlite.migrations import ACCOUNTS_SCHEMA

_PRAGMAS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA busy_timeout = 5000;
PRAGMA wal_autocheckpoint = 1;
"""
_CODE: Final = "digest, app, user, redirect_uri, scope, challenge, expires"

T = TypeVar("T")


class SqliteApps:
    """The `AppStore` of one data folder; several processes may open the same file."""

    def __init__(self, path: Path | str) -> None:
        """`:memory:` keeps them in memory. Raises `AccountsUnavailable`."""
        self._lock = threading.Lock()
        self._fault = FileFault(path)
        try:
            self._db = ACCOUNTS_SCHEMA.open_private(path, _PRAGMAS)
        except (sqlite3.Error, OSError) as error:
            raise AccountsUnavailable(f"{path}: {error}") from error

    async def add_app(self, app: AppRecord) -> None:
        values = app._replace(
            redirect_uris="\n".join(app.redirect_uris),  # type: ignore[arg-type]
            scopes=" ".join(sorted(app.scopes)),  # type: ignore[arg-type]
        )
        await self._run_in_thread(
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

        return await self._run_in_thread(select)

    async def add_code(self, code: CodeRecord, now_ms: int) -> None:
        def insert() -> None:
            self._db.execute("DELETE FROM app_codes WHERE expires <= ?", (now_ms,))
            self._db.execute(f"INSERT INTO app_codes ({_CODE}) VALUES (?,?,?,?,?,?,?)", code)

        await self._run_in_thread(insert)

    async def find_code(self, digest: bytes) -> CodeRecord | None:
        select = f"SELECT {_CODE} FROM app_codes WHERE digest = ?"
        row = await self._run_in_thread(lambda: self._db.execute(select, (digest,)).fetchone())
        return None if row is None else CodeRecord(*row)

    async def spend_code(self, digest: bytes) -> bool:
        update = "UPDATE app_codes SET spent = 1 WHERE digest = ? AND spent = 0"
        return await self._run_in_thread(lambda: self._db.execute(update, (digest,)).rowcount == 1)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        """In a thread, because a commit waits for the disk."""

        def run_locked() -> T:
            with self._lock:
                return work()

        try:
            done = await asyncio.to_thread(run_locked)
        except sqlite3.Error as error:
            self._fault.enter(error)
            raise AccountsUnavailable(str(error)) from error
        self._fault.clear()
        return done
