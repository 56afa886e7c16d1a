"""What an API process counts of webhooks: for `/metrics`."""

from enum import StrEnum
from typing import Final

from prometheus_client import Counter

from api.webhooks.webhook_store import DeliveryState

_DELIVERIES: Final = Counter(
    "starling_webhook_deliveries",
    "Tries of deliveries to webhooks, and deliveries that were given up, by what came of them.",
    ["outcome"],
)
_ENDED: Final = Counter(
    "starling_webhooks_ended", "Webhooks that ended, without those that users removed.", ["reason"]
)


class WebhookEnding(StrEnum):
    """Why a webhook ended by itself."""

    GONE = "gone"
    """Its endpoint answered 410."""
    REVOKED = "revoked"
    """The token of its app is good no more."""


def count_tried(state: DeliveryState) -> None:
    """A delivery was tried, or found to show nothing; one that is still pending is tried again."""
    _DELIVERIES.labels("retried" if state == DeliveryState.PENDING else str(state)).inc()


def count_failed(deliveries: int) -> None:
    """So many deliveries were given up."""
    _DELIVERIES.labels(str(DeliveryState.FAILED)).inc(deliveries)


def count_ended(ending: WebhookEnding) -> None:
    """A webhook ended."""
    _ENDED.labels(str(ending)).inc()
