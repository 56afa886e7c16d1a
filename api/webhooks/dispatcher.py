"""Fills the queue of webhooks from the log, and sends what is in it.

Both go on in every API process, since these have the keys of texts and the views of readers
(`docs/adr/0077`). The queue is filled by one process at a time, for a checkpoint goes with it. Each
webhook is sent to by the process that claimed it, which renews the claim while an endpoint takes
its time; what a killed process had claimed is sent by another one, perhaps once more. Views play no
part but to be asked what is shown: a rebuild sends nothing.
"""

import asyncio
import logging
from asyncio import Task
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from api.http.errors import EXPECTED_ERRORS
from api.log_follower import repeating
from api.ports import VIEW_WAIT_SECONDS
from api.state import ApiState
from api.webhooks.app_grants import standing_webhooks
from api.webhooks.concerned_webhooks import CONCERNED_VIEWS, STORED_TYPES, ConcernedWebhooks
from api.webhooks.delivery_metrics import (
    WebhookEnding,
    count_ended,
    count_failed,
    count_tried,
)
from api.webhooks.webhook_message import headers_of, render_message
from api.webhooks.webhook_store import (
    ClaimedDelivery,
    DeliveryState,
    EndpointFailed,
    FollowedPosition,
    NewDelivery,
    SubscribedWebhooks,
    WebhookDelivery,
)
from events.codec import EVENT_CODEC
from events.event_filter import SelectedEvents, read_pages
from events.log import run_read
from events.schema import UserDeleted

POLL_SECONDS: Final = 0.5

EVENTS_PER_READ: Final = 500
CLAIM_MS: Final = 6_000
"""How long the webhooks of a killed process wait for another one."""
MOST_AT_ONCE: Final = 16
"""Endpoints that one process sends to."""

DAY_MS: Final = 86_400_000
FIRST_DELAY_MS: Final = 1_000
LONGEST_DELAY_MS: Final = 3_600_000
KEPT_MS: Final = 7 * DAY_MS
"""How long it is shown what became of a delivery."""
_SWEEP_SECONDS: Final = 60.0
_GONE: Final = 410

_logger = logging.getLogger(__name__)


def retry_delay_ms(attempts: int) -> int:
    """How long to wait after so many tries that failed."""
    return min(FIRST_DELAY_MS << min(attempts - 1, 30), LONGEST_DELAY_MS)


class WebhookDispatcher:
    """What one API process does for webhooks.

    It is no `LogConsumer`: it goes no further than the views, which it asks about each event; its
    checkpoint stands only for the webhooks that there were; and another log is followed from its
    end, not from its start.
    """

    def __init__(self, state: ApiState) -> None:
        self._state = state
        self._ports = state.ports
        self._store = state.ports.webhooks.store
        self._sending: set[Task[None]] = set()

    @asynccontextmanager
    async def dispatching(self) -> AsyncIterator[None]:
        """Fill and send while the block runs."""
        failing = "webhooks can't be looked after now"
        async with (
            repeating(self._fill_all, EXPECTED_ERRORS, _logger, failing, POLL_SECONDS),
            repeating(self._send_all, EXPECTED_ERRORS, _logger, failing, POLL_SECONDS),
            repeating(self._sweep, EXPECTED_ERRORS, _logger, failing, _SWEEP_SECONDS),
        ):
            try:
                yield
            finally:
                sending = list(self._sending)
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)

    async def fill_queue(self) -> bool:
        """Look through some more of the log; False where nothing is left.

        Raises `LogError`, `StoreError`.
        """
        visible = min(map(self._ports.views.known_position, CONCERNED_VIEWS))
        subscribed = await self._store.all_webhooks()
        if not subscribed.webhooks:
            return False
        followed = await self._followed(subscribed)
        after = max(followed.position, min(one.since for one in subscribed.webhooks))
        pages = read_pages(
            self._ports.log, after, visible, types=STORED_TYPES, limit=EVENTS_PER_READ
        )
        page = await asyncio.to_thread(next, pages, None)
        if page is None:
            return False
        deliveries = await self._deliveries_of(page, subscribed)
        # Where that fails, another process was first, or the webhooks have changed.
        await self._store.enqueue(
            deliveries, followed.position, page.through, subscribed.generation,
            self._ports.clock_ms(),
        )  # fmt: skip
        return True

    async def send_due(self) -> bool:
        """Send what is next at each webhook, as far as its time has come; False where there was
        nothing. Raises `StoreError`."""
        claimed, until_ms = await self._claim(MOST_AT_ONCE)
        await asyncio.gather(*(self._send_holding(one, until_ms) for one in claimed))
        return bool(claimed)

    async def _followed(self, subscribed: SubscribedWebhooks) -> FollowedPosition:
        """Where the queue stands, once it is one of this log."""
        log = self._ports.log
        followed = await self._store.followed_position()
        head = await run_read(log, log.head)
        if followed.log == log.identity and followed.position <= head:
            return followed
        # Another log tells what was told before, or what is long over.
        start = head if followed.log else min(one.since for one in subscribed.webhooks)
        await self._store.follow_from(FollowedPosition(log.identity, start))
        return await self._store.followed_position()

    async def _deliveries_of(
        self, page: SelectedEvents, subscribed: SubscribedWebhooks
    ) -> list[NewDelivery]:
        self._state.post_views.apply_invalidations()
        concerned = ConcernedWebhooks(self._ports, subscribed.webhooks)
        await concerned.open()
        found: list[NewDelivery] = []
        for stored in page.events:
            recorded = EVENT_CODEC.decode_stored(stored)
            if isinstance(recorded.event, UserDeleted):
                await self._store.unsubscribe(recorded.event.user)
            found += await concerned.find(recorded)
        return found

    async def _claim(self, most: int) -> tuple[Sequence[ClaimedDelivery], int]:
        now = self._ports.clock_ms()
        until_ms = now + CLAIM_MS
        return await self._store.claim_due(now, until_ms, most) if most else (), until_ms

    async def _send_holding(self, claimed: ClaimedDelivery, until_ms: int) -> None:
        """Send, and renew the claim meanwhile."""
        holding = asyncio.create_task(self._hold(claimed.webhook.id, until_ms))
        try:
            await self._send(claimed)
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def _hold(self, webhook: int, until_ms: int) -> None:
        held = True
        while held:
            await asyncio.sleep(CLAIM_MS / 3000)
            before, until_ms = until_ms, self._ports.clock_ms() + CLAIM_MS
            held = await self._store.extend_claim(webhook, before, until_ms)

    async def _send(self, claimed: ClaimedDelivery) -> None:
        delivery, webhook = claimed.delivery, claimed.webhook
        reached = await self._ports.wait_for(CONCERNED_VIEWS, delivery.position, VIEW_WAIT_SECONDS)
        if not reached:  # another process saw it first; here it is seen in a moment
            await self._settle(delivery, self._ports.clock_ms() + FIRST_DELAY_MS)
            return
        if not await standing_webhooks(self._ports, [webhook]):
            return
        body = await render_message(self._state, webhook.user, delivery)
        if body is None:
            await self._settle(replace(delivery, state=DeliveryState.SKIPPED), 0)
            count_tried(DeliveryState.SKIPPED)
            return
        tried = await self._try(claimed, body)
        if tried.status == _GONE:
            gone = replace(tried, state=DeliveryState.FAILED)
            if failed := await self._store.end_webhook(webhook, gone, tried.tried_ms):
                count_failed(failed)
                count_ended(WebhookEnding.GONE)
                return
        delay = retry_delay_ms(tried.attempts) if tried.state == DeliveryState.PENDING else 0
        await self._settle(tried, tried.tried_ms + delay if delay else 0)
        count_tried(tried.state)

    async def _try(self, claimed: ClaimedDelivery, body: bytes) -> WebhookDelivery:
        now = self._ports.clock_ms()
        tried = replace(
            claimed.delivery,
            attempts=claimed.delivery.attempts + 1,
            tried_ms=now,
            status=0,
            problem="",
        )
        headers = headers_of(claimed, now // 1000, body)
        try:
            status = await self._ports.webhooks.post(claimed.webhook.url, headers, body)
        except EndpointFailed as error:
            return replace(tried, problem=str(error)[:300])
        if 200 <= status < 300:
            return replace(tried, status=status, state=DeliveryState.DELIVERED)
        return replace(tried, status=status, problem=f"it answered {status}")

    async def _settle(self, tried: WebhookDelivery, next_ms: int) -> None:
        give_up_before_ms = self._ports.clock_ms() - DAY_MS if tried.problem else 0
        count_failed(await self._store.settle(tried, next_ms, give_up_before_ms))

    async def _fill_all(self) -> None:
        while await self.fill_queue():
            pass

    async def _send_all(self) -> None:
        """Until nothing is left that can be sent now."""
        while True:
            claimed, until_ms = await self._claim(MOST_AT_ONCE - len(self._sending))
            for one in claimed:
                task = asyncio.create_task(self._send_or_say(one, until_ms))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            if not self._sending:
                return
            await asyncio.wait(
                self._sending, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )

    async def _send_or_say(self, claimed: ClaimedDelivery, until_ms: int) -> None:
        try:
            await self._send_holding(claimed, until_ms)
        except EXPECTED_ERRORS as error:  # it is claimed again when the claim is over
            _logger.error("a webhook can't be sent to now: %s", error)

    async def _sweep(self) -> None:
        await self._store.forget_deliveries(self._ports.clock_ms() - KEPT_MS)
        await standing_webhooks(self._ports, (await self._store.all_webhooks()).webhooks)
