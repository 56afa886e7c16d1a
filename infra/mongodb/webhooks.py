"""Webhooks and their queue in MongoDB, for API processes on several machines.

Collections `webhooks` and `webhook_deliveries`, and one document of `webhook_followed`, which every
change of the queue or of the set of webhooks writes: so two of them never pass one another. Each is
a transaction. `waiting` says that a webhook may have pending deliveries.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from api.webhooks.webhook_store import (
    ClaimedDelivery,
    DeliveryState,
    FollowedPosition,
    NewDelivery,
    SubscribedWebhooks,
    WaitingDeliveries,
    Webhook,
    WebhookDelivery,
    WebhooksUnavailable,
)
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import WRITE_SECONDS
from infra.mongodb.database_threads import DatabaseThreads
from projections.pages import PageRequest

_THREADS: Final = 4
_LOG: Final = {"_id": "log"}
_PENDING: Final = {"state": str(DeliveryState.PENDING)}
_INDEXES: Final = (
    ("webhooks", ("user",)),
    ("webhooks", ("waiting", "next")),
    ("webhook_deliveries", ("webhook", "_id")),
    ("webhook_deliveries", ("webhook", "state", "_id")),
    ("webhook_deliveries", ("queued_ms",)),
    ("webhook_deliveries", ("state", "queued_ms")),
)


class MongoWebhooks:
    """The `WebhookStore` of one database; any number of processes may open it. `close` it."""

    def __init__(self, database: BlockingDatabase) -> None:
        self._database = database
        self._webhooks = database.get_collection("webhooks")
        self._deliveries = database.get_collection("webhook_deliveries")
        self._followed = database.get_collection("webhook_followed")
        self._threads = DatabaseThreads(
            database, "the webhooks",
            threads=_THREADS, seconds=WRITE_SECONDS, unavailable=WebhooksUnavailable,
            prepare=self._prepare,
        )  # fmt: skip

    async def subscribe(self, webhook: Webhook, secret: str, most: int, most_of_apps: int) -> bool:
        def insert(session: ClientSession) -> bool:
            self._raise_generation(session)

            def count(app: Any) -> int:
                query = {"user": webhook.user, "app": app}
                return self._webhooks.count_documents(query, session=session)

            if count(webhook.app) >= most:
                return False
            if webhook.app is not None and count({"$ne": None}) >= most_of_apps:
                return False
            document = {
                "_id": webhook.id, **webhook._asdict(), "types": sorted(webhook.types),
                "secret": secret, "waiting": False, "next": 0, "claimed": 0,
            }  # fmt: skip
            self._webhooks.insert_one(document, session=session)
            return True

        return await self._threads.transact(insert)

    async def webhooks_of(self, user: int) -> Sequence[Webhook]:
        return await self._threads.run(lambda: self._find_webhooks({"user": user}))

    async def resubscribe(self, webhook: Webhook) -> bool:
        def update(session: ClientSession) -> bool:
            self._raise_generation(session)
            query = {"_id": webhook.id, "user": webhook.user}
            found = self._webhooks.find_one(query, session=session)
            if found is None:
                return False
            values = {
                "url": webhook.url, "types": sorted(webhook.types), "token": webhook.token,
                "next": 0, "ended_ms": 0, "reason": "",
                "since": webhook.since if found.get("ended_ms") else found["since"],
            }  # fmt: skip
            self._webhooks.update_one(query, {"$set": values}, session=session)
            return True

        return await self._threads.transact(update)

    async def unsubscribe(
        self, user: int, webhook: int | None = None, token: int | None = None
    ) -> bool:
        named = {"user": user, "_id": webhook, "token": token}
        query = {name: value for name, value in named.items() if value is not None}

        def delete(session: ClientSession) -> bool:
            ids = self._webhooks.distinct("_id", query, session=session)
            if ids:
                self._raise_generation(session)
                self._deliveries.delete_many({"webhook": {"$in": ids}}, session=session)
                self._webhooks.delete_many({"_id": {"$in": ids}}, session=session)
            return bool(ids)

        return await self._threads.transact(delete)

    async def end_webhook(self, webhook: Webhook, tried: WebhookDelivery, now_ms: int) -> int:
        query = {"_id": webhook.id, "url": webhook.url}
        ending = {"ended_ms": now_ms, "reason": tried.problem, "claimed": 0}

        def end(session: ClientSession) -> int:
            there = self._webhooks.find_one(query, session=session)
            if there is None or not self._record(tried, session):
                return 0
            self._raise_generation(session)
            self._webhooks.update_one(query, {"$set": ending}, session=session)
            return 1 + self._fail_waiting({"webhook": webhook.id}, session)

        return await self._threads.transact(end)

    async def all_webhooks(self) -> SubscribedWebhooks:
        def find() -> SubscribedWebhooks:
            # The number first: what changes in between is found by the next look.
            generation = self._state(None)["generation"]
            return SubscribedWebhooks(generation, self._find_webhooks({}))

        return await self._threads.run(find)

    async def followed_position(self) -> FollowedPosition:
        def find() -> FollowedPosition:
            state = self._state(None)
            return FollowedPosition(state["log"], state["position"])

        return await self._threads.run(find)

    async def follow_from(self, position: FollowedPosition) -> None:
        def update(session: ClientSession) -> None:
            if self._state(session)["log"]:
                lowered = {"$min": {"since": position.position}}
                self._webhooks.update_many({}, lowered, session=session)
            self._raise_generation(session)
            self._followed.update_one(_LOG, {"$set": position._asdict()}, session=session)

        await self._threads.transact(update)

    async def enqueue(
        self,
        deliveries: Sequence[NewDelivery],
        after: int,
        through: int,
        generation: int,
        now_ms: int,
    ) -> bool:
        def insert(session: ClientSession) -> bool:
            state = self._state(session)
            if (state["position"], state["generation"]) != (after, generation):
                return False
            queued = [WebhookDelivery(0, *one, now_ms) for one in deliveries]
            self._append(queued, session)
            self._followed.update_one(_LOG, {"$set": {"position": through}}, session=session)
            return True

        return await self._threads.transact(insert)

    async def claim_due(self, now_ms: int, until_ms: int, limit: int) -> Sequence[ClaimedDelivery]:
        reached = {"$lte": now_ms}
        due = {"waiting": True, "next": reached, "claimed": reached, "ended_ms": {"$in": (0, None)}}

        def claim(session: ClientSession) -> list[ClaimedDelivery]:
            claimed = []
            for found in list(self._webhooks.find(due, limit=limit, session=session)):
                head = self._deliveries.find_one(
                    {"webhook": found["_id"], **_PENDING}, sort=[("_id", ASCENDING)],
                    session=session,
                )  # fmt: skip
                values = {"waiting": False} if head is None else {"claimed": until_ms}
                self._webhooks.update_one({"_id": found["_id"]}, {"$set": values}, session=session)
                if head is not None:
                    delivery = _delivery_of(head)
                    claimed.append(ClaimedDelivery(_webhook_of(found), found["secret"], delivery))
            return claimed

        if await self._threads.run(lambda: self._webhooks.find_one(due, {"_id": 1})) is None:
            return []
        return await self._threads.transact(claim)

    async def extend_claim(self, webhook: int, claimed_until_ms: int, until_ms: int) -> bool:
        query = {"_id": webhook, "claimed": claimed_until_ms}
        values = {"$set": {"claimed": until_ms}}
        done = await self._threads.run(lambda: self._webhooks.update_one(query, values))
        return bool(done.matched_count)

    async def settle(self, tried: WebhookDelivery, next_ms: int, give_up_before_ms: int) -> int:
        values = {"$set": {"next": next_ms, "claimed": 0}}
        old = {"webhook": tried.webhook, "queued_ms": {"$lt": give_up_before_ms}}

        def update(session: ClientSession) -> int:
            if not self._record(tried, session):
                return 0
            self._webhooks.update_one({"_id": tried.webhook}, values, session=session)
            return self._fail_waiting(old, session) if tried.state == DeliveryState.PENDING else 0

        return await self._threads.transact(update)

    async def list_deliveries(
        self, webhook: int, request: PageRequest
    ) -> Sequence[WebhookDelivery]:
        bounds = {"$gt": request.lower_bound or 0}
        if request.max_id is not None:
            bounds["$lt"] = request.max_id
        order = ASCENDING if request.counts_from_oldest else DESCENDING

        def find() -> list[WebhookDelivery]:
            found = self._deliveries.find(
                {"webhook": webhook, "_id": bounds}, sort=[("_id", order)], limit=request.limit
            )
            return sorted(map(_delivery_of, found), key=lambda one: -one.number)

        return await self._threads.run(find)

    async def replay(self, webhook: int, number: int, now_ms: int) -> WebhookDelivery | None:
        done = {"_id": number, "webhook": webhook, "state": {"$ne": _PENDING["state"]}}

        def insert(session: ClientSession) -> WebhookDelivery | None:
            found = self._deliveries.find_one(done, session=session)
            if found is None:
                return None
            again = replace(
                _delivery_of(found), state=DeliveryState.PENDING, queued_ms=now_ms, attempts=0,
                tried_ms=0, status=0, problem="",
            )  # fmt: skip
            return self._append([again], session)[0]

        return await self._threads.transact(insert)

    async def forget_deliveries(self, before_ms: int) -> None:
        old = {"queued_ms": {"$lt": before_ms}, "state": {"$ne": _PENDING["state"]}}
        await self._threads.run(lambda: self._deliveries.delete_many(old))

    async def waiting_deliveries(self) -> WaitingDeliveries:
        def find() -> WaitingDeliveries:
            count = self._deliveries.count_documents(_PENDING)
            oldest = self._deliveries.find_one(_PENDING, sort=[("queued_ms", ASCENDING)])
            return WaitingDeliveries(count, oldest["queued_ms"] if oldest is not None else None)

        return await self._threads.run(find)

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    def _append(
        self, queued: Sequence[WebhookDelivery], session: ClientSession
    ) -> list[WebhookDelivery]:
        """Number deliveries and put them at the end."""
        last = self._state(session)["last"]
        self._followed.update_one(_LOG, {"$inc": {"last": len(queued)}}, session=session)
        numbered = [replace(one, number=last + offset) for offset, one in enumerate(queued, 1)]
        if numbered:
            self._deliveries.insert_many(map(_document_of, numbered), session=session)
            ids = list({one.webhook for one in numbered})
            self._webhooks.update_many(
                {"_id": {"$in": ids}}, {"$set": {"waiting": True}}, session=session
            )
        return numbered

    def _record(self, tried: WebhookDelivery, session: ClientSession) -> bool:
        """What a try came to; False where the delivery is not pending any more."""
        outcome = {
            "state": str(tried.state), "attempts": tried.attempts, "tried_ms": tried.tried_ms,
            "status": tried.status, "problem": tried.problem,
        }  # fmt: skip
        query = {"_id": tried.number, **_PENDING}
        done = self._deliveries.update_one(query, {"$set": outcome}, session=session)
        return bool(done.matched_count)

    def _fail_waiting(self, query: dict[str, Any], session: ClientSession) -> int:
        failed = {"$set": {"state": str(DeliveryState.FAILED)}}
        done = self._deliveries.update_many({**query, **_PENDING}, failed, session=session)
        return done.modified_count

    def _find_webhooks(self, query: dict[str, Any]) -> list[Webhook]:
        return list(map(_webhook_of, self._webhooks.find(query, sort=[("_id", ASCENDING)])))

    def _state(self, session: ClientSession | None) -> dict[str, Any]:
        found = self._followed.find_one(_LOG, session=session)
        return found or {"log": "", "position": 0, "generation": 0, "last": 0}

    def _raise_generation(self, session: ClientSession) -> None:
        self._followed.update_one(_LOG, {"$inc": {"generation": 1}}, session=session)

    def _prepare(self) -> None:
        """Make the indexes, and the document that every change writes."""
        for name, fields in _INDEXES:
            self._database[name].create_index([(field, ASCENDING) for field in fields])
        new = {"$setOnInsert": {"log": "", "position": 0, "generation": 0, "last": 0}}
        with suppress(DuplicateKeyError):  # another process was first
            self._followed.update_one(_LOG, new, upsert=True)


def _webhook_of(found: dict[str, Any]) -> Webhook:
    values = {name: found[name] for name in Webhook._fields if name in found}
    return Webhook(**{**values, "types": frozenset(found["types"])})


def _document_of(delivery: WebhookDelivery) -> dict[str, Any]:
    values = asdict(delivery)
    return {"_id": values.pop("number"), **values, "state": str(delivery.state)}


def _delivery_of(found: dict[str, Any]) -> WebhookDelivery:
    values = {**found, "state": DeliveryState(found["state"])}
    return WebhookDelivery(number=values.pop("_id"), **values)
