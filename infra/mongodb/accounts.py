"""Accounts in MongoDB, for API processes on several machines.

Documents of the collection `accounts`: the user is the `_id`; `folded` is the email address by
which an account is found, unique among those that have one. A sharded collection can't guarantee
that, so this one is not sharded: ten million accounts are 3 GB.

Registration and sign-in hash a password in a thread, which takes a hundred times as long as asking
MongoDB; so threads ask it, too, and the accounts are independent of any event loop.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from api.accounts.account_store import AccountRecord, TimelineMarker
from api.accounts.errors import AccountsUnavailable, EmailTaken
from infra.mongodb.access_tokens import TokenRevoker
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import READ_SECONDS
from infra.mongodb.database_threads import DURABLE, DatabaseThreads

_THREADS: Final = 8


class MongoAccounts:
    """The accounts of one database; any number of processes may open it. `close` it."""

    def __init__(self, database: BlockingDatabase) -> None:
        self._accounts = database.get_collection("accounts", write_concern=DURABLE)
        self._opt_outs = database.get_collection("click_opt_outs", write_concern=DURABLE)
        self._revoker = TokenRevoker(database)
        self._markers = database.get_collection("timeline_markers", write_concern=DURABLE)
        self._threads = DatabaseThreads(
            database, "the accounts",
            threads=_THREADS, seconds=READ_SECONDS, unavailable=AccountsUnavailable,
            prepare=self._make_index,
        )  # fmt: skip

    async def get(self, user: int) -> AccountRecord | None:
        """The account of a user."""
        return await self._find_account({"_id": user})

    async def find_by_email(self, email: str) -> AccountRecord | None:
        """The account that has this email address."""
        return await self._find_account({"folded": email.casefold()})

    async def put(self, account: AccountRecord) -> None:
        """Add the account, or give its user another address. Raises `EmailTaken`."""
        await self._threads.run(lambda: self._upsert_account(account))

    async def replace_password_hash(self, user: int, outdated: str | None, renewed: str) -> bool:
        """Store another hash. False where the account has not the outdated one (any more)."""
        return await self._change_one({"_id": user, "password": outdated}, {"password": renewed})

    async def change_password(
        self, user: int, outdated: str | None, renewed: str, keep: int | None
    ) -> bool:
        """Store the hash of another password and revoke the user's tokens but `keep`."""

        def change(session: ClientSession) -> bool:
            had, has = {"_id": user, "password": outdated}, {"$set": {"password": renewed}}
            if not self._accounts.update_one(had, has, session=session).matched_count:
                return False
            self._revoker.revoke_all(user, keep, session)
            return True

        return await self._threads.transact(change)

    async def mark_email_verified(self, user: int, email: str) -> bool:
        """Remember that this address is the user's. False where the account has another one."""
        return await self._change_one({"_id": user, "email": email}, {"verified": True})

    async def remove(self, user: int) -> None:
        """Erase the account of a user; no error where there is none."""
        await self._threads.run(lambda: self._accounts.delete_one({"_id": user}))
        await self.opt_out_of_clicks(user, False)
        await self._threads.run(lambda: self._markers.delete_one({"_id": user}))

    async def opt_out_of_clicks(self, user: int, out: bool) -> None:
        """Remember whether a user doesn't want clicks to be recorded."""
        one = {"_id": user}
        await self._threads.run(
            lambda: (
                self._opt_outs.replace_one(one, one, upsert=True)
                if out
                else self._opt_outs.delete_one(one)
            )
        )

    async def opted_out_of_clicks(self, user: int) -> bool:
        """Whether a user doesn't want clicks to be recorded."""
        return await self._threads.run(lambda: self._opt_outs.find_one({"_id": user})) is not None

    async def read_markers(self, user: int) -> Mapping[str, TimelineMarker]:
        """How far a user read each timeline."""
        found = await self._threads.run(lambda: self._markers.find_one({"_id": user})) or {}
        return {
            name: TimelineMarker(marker["last_read"], marker["version"], marker["updated"])
            for name, marker in found.items()
            if name != "_id"
        }

    async def move_marker(
        self, user: int, timeline: str, last_read: int, now_ms: int
    ) -> TimelineMarker:
        """Remember how far a user read a timeline."""
        change = {
            "$set": {f"{timeline}.last_read": last_read, f"{timeline}.updated": now_ms},
            "$inc": {f"{timeline}.version": 1},
        }
        found = await self._threads.run(
            lambda: self._markers.find_one_and_update(
                {"_id": user}, change, upsert=True, return_document=ReturnDocument.AFTER
            )
        )
        assert found is not None  # it was put, if it was not there
        return TimelineMarker(last_read, found[timeline]["version"], now_ms)

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    def _make_index(self) -> None:
        with_email = {"folded": {"$type": "string"}}
        self._accounts.create_index("folded", unique=True, partialFilterExpression=with_email)
        self._revoker.prepare()

    def _upsert_account(self, account: AccountRecord) -> None:
        changed: dict[str, Any] = {
            "email": account.email,
            "folded": account.email.casefold() if account.email is not None else None,
            "verified": account.email_verified,
        }
        first = {"password": account.password_hash, "created": account.created_ms}
        try:
            self._accounts.update_one(
                {"_id": account.user}, {"$set": changed, "$setOnInsert": first}, upsert=True
            )
        except DuplicateKeyError as error:
            raise EmailTaken("another account has this email address") from error

    async def _change_one(self, query: dict[str, Any], change: dict[str, Any]) -> bool:
        done = await self._threads.run(lambda: self._accounts.update_one(query, {"$set": change}))
        return done.matched_count == 1

    async def _find_account(self, query: dict[str, Any]) -> AccountRecord | None:
        found = await self._threads.run(lambda: self._accounts.find_one(query))
        if found is None:
            return None
        return AccountRecord(
            found["_id"], found["email"], found["password"], found["created"],
            found.get("verified", False),  # accounts of before have no such field
        )  # fmt: skip
