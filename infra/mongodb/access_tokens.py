"""Access tokens in MongoDB, for API processes on several machines.

Documents of `access_tokens` by the token's id, one of `token_state`, and one of
`ended_signed_tokens` for each user whose signed tokens are refused. A revocation takes the next
number and marks its tokens in one transaction; two of them at once conflict on the number, so a
process that read the numbers up to one has seen every revocation with a lower one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo import DESCENDING, UpdateOne
from pymongo.client_session import ClientSession

from api.accounts.errors import AccountsUnavailable
from api.accounts.token_store import Revocations, TokenClaims
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import READ_SECONDS
from infra.mongodb.database_threads import DURABLE, DatabaseThreads

_SIGNED_DAYS: Final = 30
_THREADS: Final = 8
_STATE: Final = {"_id": "state"}


class TokenRevoker:
    """Revokes tokens within the transactions of any adapter on the database."""

    def __init__(self, database: BlockingDatabase) -> None:
        self.tokens = database.get_collection("access_tokens", write_concern=DURABLE)
        self.state = database.get_collection("token_state", write_concern=DURABLE)
        self.ended = database.get_collection("ended_signed_tokens", write_concern=DURABLE)
        self.codes = database.get_collection("app_codes", write_concern=DURABLE)

    def prepare(self) -> None:
        """Make what a transaction may not have to make."""
        until = datetime.now(UTC) + timedelta(days=_SIGNED_DAYS)
        first = {"revocations": 0, "signed_until": int(until.timestamp() * 1000)}
        self.state.update_one(_STATE, {"$setOnInsert": first}, upsert=True)
        if self.ended.find_one({}) is None:
            self.ended.create_index("_id")

    def revoke_all(self, user: int, keep: int | None, session: ClientSession) -> int:
        """Revoke a user's tokens but `keep`, and remove the codes. Returns how many."""
        one = {"_id": user}
        self.ended.replace_one(one, one, upsert=True, session=session)
        self.codes.delete_many({"user": user}, session=session)
        return self.revoke({"user": user, "_id": {"$ne": keep}}, session)

    def revoke(self, query: dict[str, Any], session: ClientSession) -> int:
        """Revoke the tokens that a query finds. Returns how many."""
        state = self.state.find_one_and_update(
            _STATE, {"$inc": {"revocations": 1}}, return_document=True, session=session
        )
        assert state is not None  # made by `prepare`
        return self.tokens.update_many(
            {**query, "revoked": None}, {"$set": {"revoked": state["revocations"]}}, session=session
        ).modified_count


class MongoTokens:
    """The `TokenStore` of one database; any number of processes may open it. `close` it."""

    def __init__(self, database: BlockingDatabase) -> None:
        self._revoker = TokenRevoker(database)
        self._tokens, self._state = self._revoker.tokens, self._revoker.state
        self._threads = DatabaseThreads(
            database, "the store of access tokens",
            threads=_THREADS, seconds=READ_SECONDS, unavailable=AccountsUnavailable,
            prepare=self._prepare,
        )  # fmt: skip

    async def add_token(self, claims: TokenClaims) -> None:
        await self._threads.run(lambda: self._tokens.insert_one(_document(claims)))

    async def adopt_signed(self, claims: TokenClaims, now_ms: int) -> bool:
        def adopt(session: ClientSession) -> bool:
            state = self._state.find_one(_STATE, session=session)
            ended = self._revoker.ended.find_one({"_id": claims.user}, session=session)
            if state is None or state["signed_until"] <= now_ms or ended is not None:
                return False
            found = self._tokens.find_one({"_id": claims.id}, session=session)
            if found is not None:
                return found["revoked"] is None
            # Written by every adoption and every ending, so that one of two at once tries again.
            self._state.update_one(_STATE, {"$inc": {"adoptions": 1}}, session=session)
            self._tokens.insert_one(_document(claims), session=session)
            return True

        return await self._threads.transact(adopt)

    async def find_token(self, digest: bytes) -> TokenClaims | None:
        found = await self._threads.run(
            lambda: self._tokens.find_one({"digest": digest, "revoked": None})
        )
        return None if found is None else _claims(found)

    async def tokens_of(self, user: int, now_ms: int) -> Sequence[TokenClaims]:
        query = {"user": user, "revoked": None, "expires": {"$gt": now_ms}}
        order = [("made", DESCENDING), ("_id", DESCENDING)]
        return await self._threads.run(
            lambda: [_claims(one) for one in self._tokens.find(query).sort(order)]
        )

    async def revoke_token(self, id: int, user: int | None = None) -> bool:
        query = {"_id": id} if user is None else {"_id": id, "user": user}
        return (
            await self._threads.transact(lambda session: self._revoker.revoke(query, session)) > 0
        )

    async def revoke_tokens(
        self, user: int, *, keep: int | None = None, app: int | None = None
    ) -> int:
        def revoke(session: ClientSession) -> int:
            if app is None:
                return self._revoker.revoke_all(user, keep, session)
            self._revoker.codes.delete_many({"user": user, "app": app}, session=session)
            return self._revoker.revoke({"user": user, "_id": {"$ne": keep}, "app": app}, session)

        return await self._threads.transact(revoke)

    async def note_use(self, ids: Sequence[int], now_ms: int) -> None:
        updates = [UpdateOne({"_id": id}, {"$max": {"used": now_ms}}) for id in ids]
        await self._threads.run(lambda: self._tokens.bulk_write(updates, ordered=False))

    async def revoked_after(self, number: int | None) -> Revocations:
        def find() -> Revocations:
            state = self._state.find_one(_STATE)
            last = state["revocations"] if state is not None else 0
            if number is None or last <= number:
                return Revocations(last, ())
            found = self._tokens.find({"revoked": {"$gt": number}}, {"digest": 1})
            return Revocations(last, [one["digest"] for one in found])

        return await self._threads.run(find)

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    def _prepare(self) -> None:
        self._tokens.create_index("digest", unique=True)
        self._tokens.create_index("user")
        self._tokens.create_index("revoked")
        self._tokens.create_index("gone", expireAfterSeconds=0)
        self._revoker.prepare()


def _document(claims: TokenClaims) -> dict[str, Any]:
    return {
        "_id": claims.id, "digest": claims.digest, "user": claims.user, "app": claims.app,
        "scopes": sorted(claims.scopes), "made": claims.made_ms, "used": claims.used_ms,
        "expires": claims.expires_ms, "revoked": None,
        "gone": datetime.fromtimestamp(claims.expires_ms / 1000, UTC),
    }  # fmt: skip


def _claims(found: dict[str, Any]) -> TokenClaims:
    return TokenClaims(
        found["_id"], bytes(found["digest"]), found["user"], found["app"],
        frozenset(found["scopes"]), found["made"], found["used"], found["expires"],
    )  # fmt: skip
