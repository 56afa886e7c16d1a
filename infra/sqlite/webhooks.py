"""Webhooks and their queue in a SQLite file of their own, `webhooks.sqlite`, beside the accounts.

Every change is one immediate transaction, so API processes never claim the same webhook, and the
queue never says more or less than the position beside it. What is removed is overwritten: secrets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

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
from infra.sqlite.locked_connection import ERASING_PRAGMAS, LockedConnection
from infra.sqlite.migrations import FileSchema, sql_step
from projections.pages import PageRequest

WEBHOOKS_FILE: Final = "webhooks.sqlite"
"""In the data folder."""

_TABLES: Final = (
    # Times are Unix ms. `secret` signs, so it can't be kept as a hash.
    """
    CREATE TABLE webhooks (
      id INTEGER PRIMARY KEY, user INTEGER NOT NULL, url TEXT NOT NULL, types TEXT NOT NULL,
      since INTEGER NOT NULL, secret TEXT NOT NULL,
      next INTEGER NOT NULL DEFAULT 0, -- when it may be sent to again
      claimed INTEGER NOT NULL DEFAULT 0 -- until when a process sends to it
    ) STRICT
    """,
    "CREATE INDEX webhooks_by_user ON webhooks (user)",
    # AUTOINCREMENT: numbers are never given twice.
    """
    CREATE TABLE deliveries (
      number INTEGER PRIMARY KEY AUTOINCREMENT, webhook INTEGER NOT NULL, type TEXT NOT NULL,
      position INTEGER NOT NULL, event INTEGER NOT NULL, ordinal INTEGER NOT NULL,
      actor INTEGER NOT NULL, post INTEGER NOT NULL, queued_ms INTEGER NOT NULL,
      state TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0,
      tried_ms INTEGER NOT NULL DEFAULT 0, status INTEGER NOT NULL DEFAULT 0,
      problem TEXT NOT NULL DEFAULT ''
    ) STRICT
    """,
    "CREATE INDEX deliveries_by_webhook ON deliveries (webhook, number)",
    "CREATE INDEX deliveries_that_wait ON deliveries (webhook, number) WHERE state = 'pending'",
    "CREATE INDEX deliveries_by_time ON deliveries (queued_ms)",
    """
    CREATE TABLE followed (
      log TEXT NOT NULL, position INTEGER NOT NULL, generation INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO followed VALUES ('', 0, 0)",
)
_APPS_AND_ENDINGS: Final = (
    "ALTER TABLE webhooks ADD COLUMN app INTEGER",
    "ALTER TABLE webhooks ADD COLUMN token INTEGER",
    "ALTER TABLE webhooks ADD COLUMN ended INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE webhooks ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX deliveries_by_wait ON deliveries (queued_ms) WHERE state = 'pending'",
)
WEBHOOKS_SCHEMA: Final = FileSchema((sql_step(_TABLES), sql_step(_APPS_AND_ENDINGS)))

_WEBHOOK: Final = "id, user, url, types, since, app, token, ended, reason"
_QUEUED: Final = "webhook, type, position, event, ordinal, actor, post, queued_ms"
_DELIVERY: Final = f"number, {_QUEUED}, state, attempts, tried_ms, status, problem"
_PENDING: Final = "state = 'pending'"


class SqliteWebhooks:
    """The `WebhookStore` of one data folder; several processes may open the same file."""

    def __init__(self, path: Path | str) -> None:
        """`:memory:` keeps them in memory. Raises `WebhooksUnavailable`."""
        self._connection = LockedConnection(
            path, WEBHOOKS_SCHEMA, ERASING_PRAGMAS, WebhooksUnavailable, "the webhooks: "
        )
        self._db = self._connection.db

    async def subscribe(self, webhook: Webhook, secret: str, most: int, most_of_apps: int) -> bool:
        def insert() -> bool:
            [(own, of_apps)] = self._select(
                "count(*) FILTER (WHERE app IS ?2), count(app) FROM webhooks WHERE user = ?1",
                webhook.user,
                webhook.app,
            )
            if own >= most or (webhook.app is not None and of_apps >= most_of_apps):
                return False
            id, user, url, types, *rest = webhook
            self._db.execute(
                f"INSERT INTO webhooks ({_WEBHOOK}, secret) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (id, user, url, _joined(types), *rest, secret),
            )
            self._raise_generation()
            return True

        return await self._connection.transact(insert)

    async def webhooks_of(self, user: int) -> Sequence[Webhook]:
        def select() -> list[Webhook]:
            rows = self._select(f"{_WEBHOOK} FROM webhooks WHERE user = ? ORDER BY id", user)
            return list(map(_webhook_of, rows))

        return await self._connection.run(select)

    async def resubscribe(self, webhook: Webhook) -> bool:
        def update() -> bool:
            changed = self._db.execute(
                "UPDATE webhooks SET url = ?, types = ?, token = ?, next = 0,"
                " since = iif(ended, ?, since), ended = 0, reason = '' WHERE id = ? AND user = ?",
                (
                    webhook.url, _joined(webhook.types), webhook.token, webhook.since, webhook.id,
                    webhook.user,
                ),
            ).rowcount  # fmt: skip
            if changed:
                self._raise_generation()
            return bool(changed)

        return await self._connection.transact(update)

    async def unsubscribe(
        self, user: int, webhook: int | None = None, token: int | None = None
    ) -> bool:
        def delete() -> bool:
            rows = self._select(
                "id FROM webhooks WHERE user = ?1 AND id = coalesce(?2, id)"
                " AND (?3 IS NULL OR token = ?3)",
                user, webhook, token,
            )  # fmt: skip
            self._db.executemany("DELETE FROM deliveries WHERE webhook = ?", rows)
            self._db.executemany("DELETE FROM webhooks WHERE id = ?", rows)
            if rows:
                self._raise_generation()
            return bool(rows)

        return await self._connection.transact(delete)

    async def end_webhook(self, webhook: Webhook, tried: WebhookDelivery, now_ms: int) -> int:
        def end() -> int:
            there = self._select(
                "1 FROM webhooks WHERE id = ? AND url = ?", webhook.id, webhook.url
            )
            if not there or not self._record(tried):
                return 0
            others = self._fail_waiting(webhook.id)
            self._db.execute(
                "UPDATE webhooks SET ended = ?, reason = ?, claimed = 0 WHERE id = ?",
                (now_ms, tried.problem, webhook.id),
            )
            self._raise_generation()
            return 1 + others

        return await self._connection.transact(end)

    async def all_webhooks(self) -> SubscribedWebhooks:
        def select() -> SubscribedWebhooks:
            # The number first: what changes in between is found by the next look.
            [(generation,)] = self._select("generation FROM followed")
            rows = self._select(f"{_WEBHOOK} FROM webhooks ORDER BY id")
            return SubscribedWebhooks(generation, list(map(_webhook_of, rows)))

        return await self._connection.run(select)

    async def followed_position(self) -> FollowedPosition:
        def select() -> FollowedPosition:
            [row] = self._select("log, position FROM followed")
            return FollowedPosition(*row)

        return await self._connection.run(select)

    async def follow_from(self, position: FollowedPosition) -> None:
        def update() -> None:
            self._db.execute(
                "UPDATE webhooks SET since = min(since, ?)"
                " WHERE EXISTS (SELECT 1 FROM followed WHERE log <> '')",
                (position.position,),
            )
            self._db.execute("UPDATE followed SET log = ?, position = ?", position)
            self._raise_generation()

        await self._connection.transact(update)

    async def enqueue(
        self,
        deliveries: Sequence[NewDelivery],
        after: int,
        through: int,
        generation: int,
        now_ms: int,
    ) -> bool:
        def insert() -> bool:
            if self._select("position, generation FROM followed") != [(after, generation)]:
                return False
            self._db.executemany(
                f"INSERT INTO deliveries ({_QUEUED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(*delivery, now_ms) for delivery in deliveries],
            )
            self._db.execute("UPDATE followed SET position = ?", (through,))
            return True

        return await self._connection.transact(insert)

    async def claim_due(self, now_ms: int, until_ms: int, limit: int) -> Sequence[ClaimedDelivery]:
        due = (
            "webhooks WHERE next <= ?1 AND claimed <= ?1 AND NOT ended AND EXISTS"
            f" (SELECT 1 FROM deliveries WHERE webhook = webhooks.id AND {_PENDING}) LIMIT ?2"
        )

        def claim() -> list[ClaimedDelivery]:
            claimed = []
            for *columns, secret in self._select(f"{_WEBHOOK}, secret FROM {due}", now_ms, limit):
                webhook = _webhook_of(columns)
                [row] = self._select(
                    f"{_DELIVERY} FROM deliveries WHERE webhook = ? AND {_PENDING}"
                    " ORDER BY number LIMIT 1",
                    webhook.id,
                )
                self._db.execute(
                    "UPDATE webhooks SET claimed = ? WHERE id = ?", (until_ms, webhook.id)
                )
                claimed.append(ClaimedDelivery(webhook, secret, _delivery_of(row)))
            return claimed

        if not await self._connection.run(lambda: self._select(f"1 FROM {due}", now_ms, 1)):
            return []
        return await self._connection.transact(claim)

    async def extend_claim(self, webhook: int, claimed_until_ms: int, until_ms: int) -> bool:
        def update() -> bool:
            changed = self._db.execute(
                "UPDATE webhooks SET claimed = ? WHERE id = ? AND claimed = ?",
                (until_ms, webhook, claimed_until_ms),
            )
            return changed.rowcount > 0

        return await self._connection.transact(update)

    async def settle(self, tried: WebhookDelivery, next_ms: int, give_up_before_ms: int) -> int:
        def update() -> int:
            if not self._record(tried):
                return 0
            self._db.execute(
                "UPDATE webhooks SET next = ?, claimed = 0 WHERE id = ?", (next_ms, tried.webhook)
            )
            pending = tried.state == DeliveryState.PENDING
            return self._fail_waiting(tried.webhook, give_up_before_ms) if pending else 0

        return await self._connection.transact(update)

    async def list_deliveries(
        self, webhook: int, request: PageRequest
    ) -> Sequence[WebhookDelivery]:
        order = "ASC" if request.counts_from_oldest else "DESC"

        def select() -> list[WebhookDelivery]:
            rows = self._select(
                f"{_DELIVERY} FROM deliveries WHERE webhook = ?1 AND number > ?2"
                f" AND (?3 IS NULL OR number < ?3) ORDER BY number {order} LIMIT ?4",
                webhook, request.lower_bound or 0, request.max_id, request.limit,
            )  # fmt: skip
            return sorted(map(_delivery_of, rows), key=lambda one: -one.number)

        return await self._connection.run(select)

    async def replay(self, webhook: int, number: int, now_ms: int) -> WebhookDelivery | None:
        def insert() -> WebhookDelivery | None:
            again = self._db.execute(
                f"INSERT INTO deliveries ({_QUEUED}) SELECT {_QUEUED.replace('queued_ms', '?')}"
                f" FROM deliveries WHERE webhook = ? AND number = ? AND NOT {_PENDING}"
                f" RETURNING {_DELIVERY}",
                (now_ms, webhook, number),
            ).fetchall()
            return _delivery_of(again[0]) if again else None

        return await self._connection.transact(insert)

    async def forget_deliveries(self, before_ms: int) -> None:
        def delete() -> None:
            self._db.execute(
                f"DELETE FROM deliveries WHERE queued_ms < ? AND NOT {_PENDING}", (before_ms,)
            )

        await self._connection.transact(delete)

    async def waiting_deliveries(self) -> WaitingDeliveries:
        def select() -> WaitingDeliveries:
            [row] = self._select(f"count(*), min(queued_ms) FROM deliveries WHERE {_PENDING}")
            return WaitingDeliveries(*row)

        return await self._connection.run(select)

    def close(self) -> None:
        self._connection.close()

    def _record(self, tried: WebhookDelivery) -> bool:
        """What a try came to; False where the delivery is not pending any more."""
        columns = ("state", "attempts", "tried_ms", "status", "problem", "number")
        changed = self._db.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, tried_ms = ?, status = ?,"
            f" problem = ? WHERE number = ? AND {_PENDING}",
            [getattr(tried, column) for column in columns],
        )
        return changed.rowcount > 0

    def _fail_waiting(self, webhook: int, before_ms: int | None = None) -> int:
        return self._db.execute(
            f"UPDATE deliveries SET state = 'failed' WHERE webhook = ?1 AND {_PENDING}"
            " AND (?2 IS NULL OR queued_ms < ?2)",
            (webhook, before_ms),
        ).rowcount

    def _raise_generation(self) -> None:
        self._db.execute("UPDATE followed SET generation = generation + 1")

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._db.execute(f"SELECT {query}", values).fetchall()


def _joined(types: frozenset[str]) -> str:
    return " ".join(sorted(types))


def _webhook_of(row: Sequence[Any]) -> Webhook:
    id, user, url, types, *rest = row
    return Webhook(id, user, url, frozenset(types.split()), *rest)


def _delivery_of(row: Sequence[Any]) -> WebhookDelivery:
    values = dict(zip(_DELIVERY.split(", "), row, strict=True))
    return WebhookDelivery(**{**values, "state": DeliveryState(values["state"])})
