"""The records of media in MongoDB, for API processes on several machines.

Collections `media_uploads`, `media_uses` and `media_removals`, and one document of
`media_followed`. Each change is a transaction. One that records an upload and one that claims the
same image for removal both write the image's document of `media_removals`, so one of them is tried
again and sees the other.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec.structs import asdict
from pymongo import ASCENDING
from pymongo.client_session import ClientSession

from api.media.errors import MediaUnavailable, TooManyUploads
from api.media.media_records import MediaChange, MediaHidden, MediaShown, OwnerLeft, Upload
from events.schema import Medium
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import WRITE_SECONDS
from infra.mongodb.database_threads import DatabaseThreads

CLAIM_MS: Final = 60_000
"""How long a process may take to remove the files that it claimed."""

CLAIMED_AT_ONCE: Final = 100

_THREADS: Final = 4
_INDEXES: Final = (
    ("media_uploads", ("id",)),
    ("media_uploads", ("owner",)),
    ("media_uploads", ("uploaded",)),
    ("media_uses", ("id",)),
    ("media_uses", ("owner",)),
    ("media_uses", ("subject",)),
)


class MongoMediaRecords:
    """The `MediaRecords` of one database; any number of processes may open it. `close` it."""

    def __init__(self, database: BlockingDatabase) -> None:
        self._database = database
        self._uploads = database.get_collection("media_uploads")
        self._uses = database.get_collection("media_uses")
        self._removals = database.get_collection("media_removals")
        self._followed = database.get_collection("media_followed")
        self._threads = DatabaseThreads(
            database, "the records of media",
            threads=_THREADS, seconds=WRITE_SECONDS, unavailable=MediaUnavailable,
            prepare=self._make_indexes,
        )  # fmt: skip

    async def add_upload(self, upload: Upload, most: int) -> bool:
        id, owner = upload.medium.id, upload.owner

        def insert(session: ClientSession) -> bool:
            guard = self._removals.find_one_and_update(
                {"_id": id},
                {"$inc": {"guard": 1}, "$setOnInsert": {"claimed": 0}},
                upsert=True,
                session=session,
            )
            if guard is not None and guard["claimed"]:
                return False
            unshown = {"owner": owner, "id": {"$ne": id}, "shown": False}
            count = self._uploads.count_documents(unshown, session=session)
            if count >= most:
                raise TooManyUploads(
                    f"you uploaded {count} images and show none of them: post some, or wait a day"
                )
            document = {
                **asdict(upload.medium), "owner": owner, "uploaded": upload.uploaded_ms,
                "shown": False,
            }  # fmt: skip
            key = {"_id": f"{owner}-{id}"}
            self._uploads.replace_one(key, document, upsert=True, session=session)
            return True

        return await self._threads.transact(insert)

    async def find_uploads(
        self, owner: int, ids: Collection[str], since_ms: int
    ) -> Sequence[Upload]:
        query = {
            "_id": {"$in": [f"{owner}-{id}" for id in ids]},
            "uploaded": {"$gte": since_ms},
            "shown": False,
        }
        found = await self._threads.run(lambda: list(self._uploads.find(query)))
        return [
            Upload(
                owner,
                Medium(*(document[name] for name in Medium.__struct_fields__)),
                document["uploaded"],
            )
            for document in found
        ]

    async def mark_shown(self, owner: int, ids: Collection[str]) -> None:
        query = {"_id": {"$in": [f"{owner}-{id}" for id in ids]}}
        await self._threads.run(lambda: self._uploads.update_many(query, {"$set": {"shown": True}}))

    async def followed_through(self) -> int:
        return await self._threads.run(lambda: self._position(None))

    async def follow(self, changes: Sequence[MediaChange], after: int, through: int) -> bool:
        def apply_all(session: ClientSession) -> bool:
            if self._position(session) != after:
                return False
            for change in changes:
                self._apply(change, session)
            self._set_position(through, session)
            return True

        return await self._threads.transact(apply_all)

    async def restart(self) -> None:
        def forget_uses(session: ClientSession) -> None:
            self._may_be_unused(self._uses, {}, session)
            self._uses.delete_many({}, session=session)
            self._set_position(0, session)

        await self._threads.transact(forget_uses)

    async def expire_uploads(self, before_ms: int) -> None:
        def delete_old(session: ClientSession) -> None:
            self._delete(self._uploads, {"uploaded": {"$lt": before_ms}}, session)

        await self._threads.transact(delete_old)

    async def claim_unused(self, now_ms: int) -> Sequence[str]:
        def claim(session: ClientSession) -> list[str]:
            waiting = self._removals.find(
                {"claimed": {"$lt": now_ms - CLAIM_MS}}, limit=CLAIMED_AT_ONCE, session=session
            )
            ids = [document["_id"] for document in waiting]
            among = {"id": {"$in": ids}}
            wanted = set(self._uses.distinct("id", among, session=session))
            wanted.update(self._uploads.distinct("id", among, session=session))
            unused = [id for id in ids if id not in wanted]
            self._removals.delete_many({"_id": {"$in": list(wanted)}}, session=session)
            self._removals.update_many(
                {"_id": {"$in": unused}}, {"$set": {"claimed": now_ms}}, session=session
            )
            return unused

        return await self._threads.transact(claim)

    async def forget(self, ids: Collection[str]) -> None:
        gone = {"_id": {"$in": list(ids)}}
        await self._threads.run(lambda: self._removals.delete_many(gone))

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    def _apply(self, change: MediaChange, session: ClientSession) -> None:
        match change:
            case MediaShown(subject, id, owner, ms):
                use = {"_id": f"{subject}-{id}", "subject": subject, "id": id, "owner": owner}
                self._uses.replace_one({"_id": use["_id"]}, use, upsert=True, session=session)
                upload = {"_id": f"{owner}-{id}", "uploaded": {"$lte": ms}}
                self._uploads.delete_many(upload, session=session)
            case MediaHidden(subject):
                self._delete(self._uses, {"subject": subject}, session)
            case OwnerLeft(owner):
                self._delete(self._uses, {"owner": owner}, session)
                self._delete(self._uploads, {"owner": owner}, session)

    def _delete(self, collection: Any, query: dict[str, Any], session: ClientSession) -> None:
        self._may_be_unused(collection, query, session)
        collection.delete_many(query, session=session)

    def _may_be_unused(
        self, collection: Any, query: dict[str, Any], session: ClientSession
    ) -> None:
        for id in collection.distinct("id", query, session=session):
            self._removals.update_one(
                {"_id": id},
                {"$inc": {"guard": 1}, "$setOnInsert": {"claimed": 0}},
                upsert=True,
                session=session,
            )

    def _position(self, session: ClientSession | None) -> int:
        found = self._followed.find_one({"_id": "log"}, session=session)
        return int(found["position"]) if found is not None else 0

    def _set_position(self, position: int, session: ClientSession) -> None:
        self._followed.update_one(
            {"_id": "log"}, {"$set": {"position": position}}, upsert=True, session=session
        )

    def _make_indexes(self) -> None:
        for name, fields in _INDEXES:
            self._database[name].create_index([(field, ASCENDING) for field in fields])
