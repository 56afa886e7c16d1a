"""Apps and their authorization codes in MongoDB: documents of `apps` and of `app_codes`."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from api.accounts.errors import AccountsUnavailable
from api.oauth.app_store import AppRecord, CodeRecord
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import READ_SECONDS
from infra.mongodb.database_threads import DURABLE, DatabaseThreads

_THREADS: Final = 4


class MongoApps:
    """The `AppStore` of one database; any number of processes may open it. `close` it."""

    def __init__(self, database: BlockingDatabase) -> None:
        self._apps = database.get_collection("apps", write_concern=DURABLE)
        self._codes = database.get_collection("app_codes", write_concern=DURABLE)
        self._tokens = database.get_collection("access_tokens")
        self._threads = DatabaseThreads(
            database, "the store of apps",
            threads=_THREADS, seconds=READ_SECONDS, unavailable=AccountsUnavailable,
            prepare=self._prepare,
        )  # fmt: skip

    async def add_app(self, app: AppRecord) -> None:
        document = {
            "_id": app.id, "secret": app.secret_digest, "name": app.name, "website": app.website,
            "redirect_uris": list(app.redirect_uris), "scopes": sorted(app.scopes),
            "made": app.made_ms,
        }  # fmt: skip
        await self._threads.run(lambda: self._apps.insert_one(document))

    async def find_apps(self, ids: Collection[int]) -> Mapping[int, AppRecord]:
        query = {"_id": {"$in": [*ids]}}
        return await self._threads.run(
            lambda: {one["_id"]: _app(one) for one in self._apps.find(query)}
        )

    async def remove_unused(self, made_before_ms: int, most: int) -> int:
        def remove() -> int:
            removed, last = 0, 0
            while removed < most:
                query = {"_id": {"$gt": last}, "made": {"$lt": made_before_ms}}
                ids = [one["_id"] for one in self._apps.find(query, {}).sort("_id").limit(most)]
                if not ids:
                    break
                there = {"app": {"$in": ids}}
                used = {*self._tokens.distinct("app", there), *self._codes.distinct("app", there)}
                unused = [id for id in ids if id not in used][: most - removed]
                removed += self._apps.delete_many({"_id": {"$in": unused}}).deleted_count
                last = ids[-1]
            return removed

        return await self._threads.run(remove)

    async def add_code(self, code: CodeRecord, now_ms: int) -> None:
        document = code._asdict() | {
            "_id": code.digest,
            "spent": False,
            "gone": datetime.fromtimestamp(code.expires_ms / 1000, UTC),
        }

        def insert() -> None:
            self._codes.delete_many({"expires_ms": {"$lte": now_ms}})
            self._codes.insert_one(document)

        await self._threads.run(insert)

    async def find_code(self, digest: bytes) -> CodeRecord | None:
        found = await self._threads.run(lambda: self._codes.find_one({"_id": digest}))
        if found is None:
            return None
        values = {name: found[name] for name in CodeRecord._fields}
        return CodeRecord(**values | {"digest": bytes(found["digest"])})

    async def spend_code(self, digest: bytes) -> bool:
        unspent, spend = {"_id": digest, "spent": False}, {"$set": {"spent": True}}
        updated = await self._threads.run(lambda: self._codes.update_one(unspent, spend))
        return bool(updated.modified_count)

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    def _prepare(self) -> None:
        self._tokens.create_index("app")
        self._codes.create_index("user")
        self._codes.create_index("gone", expireAfterSeconds=0)


def _app(found: dict[str, Any]) -> AppRecord:
    return AppRecord(
        found["_id"], bytes(found["secret"]), found["name"], found["website"],
        tuple(found["redirect_uris"]), frozenset(found["scopes"]), found["made"],
    )  # fmt: skip
