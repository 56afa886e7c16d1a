"""The port to webhooks: who subscribed which address to what, and what is sent there.

A delivery is a row of a queue that names an event and holds no text: what is sent is rendered when
it is sent. Deliveries of a webhook are numbered in the order of the log and sent in that order, one
at a time; numbers are never given twice. Which events are in the queue is one fact with the
position up to which the log was looked through, so no event is left out and none taken twice.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from projections.pages import PageRequest
from projections.store import StoreUnavailable


class WebhooksUnavailable(StoreUnavailable):
    """The webhooks can't be read or written now; try again later."""


class EndpointFailed(Exception):
    """An endpoint took nothing; the message says why, for the owner of the webhook."""


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    """Nothing was sent: what it is about was deleted, or is hidden from the user by now."""
    FAILED = "failed"
    """The endpoint did not take it for a day, or is gone."""


class Webhook(NamedTuple):
    """An address that a user, or an app of a user's, subscribed to types of events."""

    id: int
    user: int
    url: str
    types: frozenset[str]
    since: int
    """The position of the log behind which it hears of events."""
    app: int | None = None
    """The app that it is of; None for one of the user's own."""
    token: int | None = None
    """The id of the app's token that made it or changed it last, and with which it ends."""
    ended_ms: int = 0
    """When its endpoint said that it is gone (Unix ms); 0 for never."""
    reason: str = ""
    """Why it has ended."""


class NewDelivery(NamedTuple):
    """What a webhook is to hear of: `actor` did something, by an event, to `post` (or 0)."""

    webhook: int
    type: str
    position: int
    event: int
    """The event's id."""
    ordinal: int
    """0, or 1 for what a user is notified of: an event may be news in both ways."""
    actor: int
    post: int


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A row of the queue, with what became of it. Times are Unix ms."""

    number: int
    webhook: int
    type: str
    position: int
    event: int
    ordinal: int
    actor: int
    post: int
    queued_ms: int
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    tried_ms: int = 0
    """When it was tried last; 0 for never."""
    status: int = 0
    """What the endpoint answered last; 0 for nothing."""
    problem: str = ""
    """Why the last try failed."""

    @property
    def message_id(self) -> str:
        """What the endpoint knows it by, the same in each try and each replay."""
        return f"{self.event}-{self.ordinal}"


class ClaimedDelivery(NamedTuple):
    """The delivery that is next at a webhook, for the process that claimed it."""

    webhook: Webhook
    secret: str
    delivery: WebhookDelivery


class FollowedPosition(NamedTuple):
    """Up to which position of which log (its identity; empty for none yet) the queue is filled."""

    log: str
    position: int


class SubscribedWebhooks(NamedTuple):
    """All webhooks, and a number that grows with each change of one."""

    generation: int
    webhooks: Sequence[Webhook]


class WaitingDeliveries(NamedTuple):
    """How many deliveries wait, of all webhooks, and since when the oldest does (Unix ms)."""

    number: int
    oldest_ms: int | None


class WebhookStore(Protocol):
    """Webhooks and their queue. Every method may raise `WebhooksUnavailable`; a change is durable
    on return. Users see their own webhooks alone: those of others are as if they weren't there."""

    async def subscribe(self, webhook: Webhook, secret: str, most: int, most_of_apps: int) -> bool:
        """Add a webhook. False where its user has `most` of their own, or where its app has as many
        of that user's, or all apps of that user's have `most_of_apps`."""
        ...

    async def webhooks_of(self, user: int) -> Sequence[Webhook]:
        """A user's, the oldest first."""
        ...

    async def resubscribe(self, webhook: Webhook) -> bool:
        """Give a webhook of its user's another address, other types and another token of its app.
        What waits is sent to the new address, at once; one that had ended goes on behind the
        position `since`, which others keep. False where it isn't there."""
        ...

    async def unsubscribe(
        self, user: int, webhook: int | None = None, token: int | None = None
    ) -> bool:
        """Remove a webhook of a user's, or all of them, with their deliveries; with `token` only
        what ends with that one. False where there was none."""
        ...

    async def end_webhook(self, webhook: Webhook, tried: WebhookDelivery, now_ms: int) -> int:
        """The endpoint is gone, as `tried` says, which has failed with all that waits; nothing is
        sent there any more. How many have failed; 0, and nothing is changed, where the delivery is
        not pending, or the webhook is gone or has another address by now."""
        ...

    async def all_webhooks(self) -> SubscribedWebhooks:
        """Those of all users."""
        ...

    async def followed_position(self) -> FollowedPosition:
        """How far the log was looked through."""
        ...

    async def follow_from(self, position: FollowedPosition) -> None:
        """Look through a log from here on. Where it was another one before, webhooks hear of all
        that this one holds behind, whatever they were subscribed at."""
        ...

    async def enqueue(
        self,
        deliveries: Sequence[NewDelivery],
        after: int,
        through: int,
        generation: int,
        now_ms: int,
    ) -> bool:
        """Put what the log's events behind `after` and up to `through` tell into the queue.

        False, and nothing is changed, unless the log was looked through up to exactly `after` and
        the webhooks are those of the generation.
        """
        ...

    async def claim_due(self, now_ms: int, until_ms: int, limit: int) -> Sequence[ClaimedDelivery]:
        """The next deliveries of webhooks whose time has come, one of each, for this process alone
        until it settles them or until `until_ms`."""
        ...

    async def extend_claim(self, webhook: int, claimed_until_ms: int, until_ms: int) -> bool:
        """Have a claim last longer; False where it is not this one any more."""
        ...

    async def settle(self, tried: WebhookDelivery, next_ms: int, give_up_before_ms: int) -> int:
        """Record what a try came to, and let the webhook be claimed again from `next_ms` on.

        Where it is still pending, all that was queued before `give_up_before_ms` has failed;
        returns how many. Nothing where the delivery is not pending or its webhook is gone.
        """
        ...

    async def list_deliveries(
        self, webhook: int, request: PageRequest
    ) -> Sequence[WebhookDelivery]:
        """Those of a webhook, by number."""
        ...

    async def replay(self, webhook: int, number: int, now_ms: int) -> WebhookDelivery | None:
        """Queue a delivery once more, behind all others; None where there is none that is done."""
        ...

    async def forget_deliveries(self, before_ms: int) -> None:
        """Remove what was done before."""
        ...

    async def waiting_deliveries(self) -> WaitingDeliveries:
        """Those of all webhooks."""
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...


PostToEndpoint = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Sends a body with headers to an address, once; the status of the answer. Raises
`EndpointFailed` where there is none, or where the address may not be asked."""


@dataclass(frozen=True, slots=True)
class WebhookPorts:
    """What webhooks need of the outside."""

    store: WebhookStore
    post: PostToEndpoint
    loopback: bool = False
    """Whether addresses of this machine, and plain `http` to them, are allowed."""


def by_user(webhooks: Collection[Webhook]) -> dict[int, list[Webhook]]:
    """Webhooks by whose they are."""
    found: dict[int, list[Webhook]] = {}
    for webhook in webhooks:
        found.setdefault(webhook.user, []).append(webhook)
    return found
