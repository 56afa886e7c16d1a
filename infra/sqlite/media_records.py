"""The records of media in a SQLite file of their own, `media.sqlite`, beside the accounts.

Every change is one immediate transaction, so a process that removes an image's files and one that
uploads the same image never pass one another. Alternative texts are personal: what is removed is
overwritten.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from api.media.errors import MediaUnavailable, TooManyUploads
from api.media.media_records import MediaChange, MediaHidden, MediaShown, OwnerLeft, Upload
from events.schema import Medium
from infra.sqlite.locked_connection import CHECKPOINTED_PRAGMAS, LockedConnection
from infra.sqlite.migrations import MEDIA_SCHEMA

CLAIM_MS: Final = 60_000
"""How long a process may take to remove the files that it claimed."""

CLAIMED_AT_ONCE: Final = 100

_IS_UNUSED: Final = (
    "NOT EXISTS (SELECT 1 FROM uses WHERE uses.id = removals.id) AND "
    "NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.id = removals.id)"
)


class SqliteMediaRecords:
    """The `MediaRecords` of one data folder; several processes may open the same file."""

    def __init__(self, path: Path | str) -> None:
        """`:memory:` keeps them in memory. Raises `MediaUnavailable`."""
        self._connection = LockedConnection(
            path, MEDIA_SCHEMA, CHECKPOINTED_PRAGMAS, MediaUnavailable, "the records of media: "
        )
        self._db = self._connection.db

    async def add_upload(self, upload: Upload, most: int) -> bool:
        def insert() -> bool:
            id = upload.medium.id
            if self._exists("removals WHERE id = ? AND claimed > 0", id):
                return False
            (count,) = self._db.execute(
                "SELECT count(*) FROM uploads WHERE owner = ? AND id <> ? AND shown = 0",
                (upload.owner, id),
            ).fetchone()
            if count >= most:
                raise TooManyUploads(
                    f"you uploaded {count} images and show none of them: post some, or wait a day"
                )
            self._db.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (upload.owner, *_columns(upload.medium), upload.uploaded_ms),
            )
            return True

        return await self._connection.transact(insert)

    async def find_uploads(
        self, owner: int, ids: Collection[str], since_ms: int
    ) -> Sequence[Upload]:
        def select() -> list[Upload]:
            rows = [
                self._db.execute(
                    "SELECT id, type, width, height, blurhash, alt, uploaded FROM uploads"
                    " WHERE owner = ? AND id = ? AND uploaded >= ? AND shown = 0",
                    (owner, id, since_ms),
                ).fetchone()
                for id in ids
            ]
            return [Upload(owner, Medium(*row[:6]), row[6]) for row in rows if row is not None]

        return await self._connection.run(select)

    async def mark_shown(self, owner: int, ids: Collection[str]) -> None:
        def update() -> None:
            self._db.executemany(
                "UPDATE uploads SET shown = 1 WHERE owner = ? AND id = ?",
                [(owner, id) for id in ids],
            )

        await self._connection.transact(update)

    async def followed_through(self) -> int:
        return await self._connection.run(self._followed_through)

    async def follow(self, changes: Sequence[MediaChange], after: int, through: int) -> bool:
        def apply_all() -> bool:
            if self._followed_through() != after:
                return False
            for change in changes:
                self._apply(change)
            self._db.execute("UPDATE followed SET position = ?", (through,))
            return True

        return await self._connection.transact(apply_all, erases=True)

    async def restart(self) -> None:
        def forget_uses() -> None:
            self._may_be_unused("SELECT DISTINCT id FROM uses", ())
            self._db.execute("DELETE FROM uses")
            self._db.execute("UPDATE followed SET position = 0")

        await self._connection.transact(forget_uses)

    async def expire_uploads(self, before_ms: int) -> None:
        def delete_old() -> None:
            self._delete_uploads("uploaded < ?", (before_ms,))

        if await self._connection.run(
            lambda: self._exists("uploads WHERE uploaded < ?", before_ms)
        ):
            await self._connection.transact(delete_old, erases=True)

    async def claim_unused(self, now_ms: int) -> Sequence[str]:
        def claim() -> list[str]:
            self._db.execute(f"DELETE FROM removals WHERE claimed = 0 AND NOT ({_IS_UNUSED})")
            rows = self._db.execute(
                f"UPDATE removals SET claimed = ? WHERE id IN (SELECT id FROM removals"
                f" WHERE claimed < ? AND {_IS_UNUSED} LIMIT {CLAIMED_AT_ONCE}) RETURNING id",
                (now_ms, now_ms - CLAIM_MS),
            )
            return [id for (id,) in rows.fetchall()]

        if not await self._connection.run(lambda: self._exists("removals")):
            return []
        return await self._connection.transact(claim)

    async def forget(self, ids: Collection[str]) -> None:
        def delete_rows() -> None:
            self._db.executemany("DELETE FROM removals WHERE id = ?", [(id,) for id in ids])

        await self._connection.transact(delete_rows)

    def close(self) -> None:
        self._connection.close()

    def _apply(self, change: MediaChange) -> None:
        match change:
            case MediaShown(subject, id, owner, ms):
                self._db.execute(
                    "INSERT OR REPLACE INTO uses VALUES (?, ?, ?)", (subject, id, owner)
                )
                self._delete_uploads("owner = ? AND id = ? AND uploaded <= ?", (owner, id, ms))
            case MediaHidden(subject):
                self._delete_uses("subject = ?", subject)
            case OwnerLeft(owner):
                self._delete_uses("owner = ?", owner)
                self._delete_uploads("owner = ?", (owner,))

    def _delete_uses(self, where: str, value: object) -> None:
        self._may_be_unused(f"SELECT id FROM uses WHERE {where}", (value,))
        self._db.execute(f"DELETE FROM uses WHERE {where}", (value,))

    def _delete_uploads(self, where: str, values: Sequence[object]) -> None:
        self._may_be_unused(f"SELECT id FROM uploads WHERE {where}", values)
        self._db.execute(f"DELETE FROM uploads WHERE {where}", values)

    def _may_be_unused(self, query: str, values: Sequence[object]) -> None:
        self._db.execute(f"INSERT OR IGNORE INTO removals (id) {query}", values)

    def _followed_through(self) -> int:
        (position,) = self._db.execute("SELECT position FROM followed").fetchone()
        return int(position)

    def _exists(self, where: str, *values: object) -> bool:
        return self._db.execute(f"SELECT 1 FROM {where} LIMIT 1", values).fetchone() is not None


def _columns(medium: Medium) -> Iterable[object]:
    return medium.id, medium.type, medium.width, medium.height, medium.blurhash, medium.alt
