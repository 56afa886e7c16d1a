"""What is sent to an endpoint: the body of a message, made when it is sent, and its signature.

The headers are those of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`),
so its libraries check them.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any, Final

from api.schemas import encode_json
from api.state import ApiState
from api.views.notifications import render_notifications, shown_notifications
from api.views.posts import SinglePost
from api.webhooks.concerned_webhooks import NOTIFICATION, POST_DELETED, POST_RETWEETED
from api.webhooks.webhook_store import ClaimedDelivery, WebhookDelivery
from events.ids.snowflake import time_ms
from events.times import rfc3339
from projections.notifications import NotificationEntry, notification_id, read_marks_of

_PREFIX: Final = "whsec_"


def new_secret() -> str:
    """A secret to sign with, 256 bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """The signature of a message that is sent at a time (Unix seconds)."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = b"%s.%d.%s" % (message_id.encode(), seconds, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers_of(claimed: ClaimedDelivery, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of a message that is sent at a time (Unix seconds)."""
    id = claimed.delivery.message_id
    return {
        "content-type": "application/json",
        "user-agent": "Starling-Webhooks",
        "webhook-id": id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": sign(claimed.secret, id, seconds, body),
    }


async def render_message(state: ApiState, user: int, delivery: WebhookDelivery) -> bytes | None:
    """The body, as the user would see it over the API now; None where there is nothing to see (any
    more). Raises `StoreError`."""
    state.post_views.apply_invalidations()
    if not await state.post_views.is_active(user):
        return None
    data = await _render_data(state, user, delivery)
    if data is None:
        return None
    head = {
        "type": delivery.type,
        "timestamp": rfc3339(time_ms(delivery.event)),
        "event": str(delivery.event),
    }
    return b'%s,"data":%s}' % (encode_json(head)[:-1], data)


async def _render_data(state: ApiState, user: int, delivery: WebhookDelivery) -> bytes | None:
    if delivery.type.startswith(NOTIFICATION):
        return await _render_notification(state, user, delivery)
    hidden = (await state.ports.home.viewer_context(user)).hidden
    if delivery.actor in hidden:
        return None
    if delivery.type == POST_DELETED:
        return encode_json({"post": {"id": str(delivery.post)}})
    post = await state.post_views.render_post(delivery.post, user)
    if post is None:
        return None
    extra: dict[str, Any] = {}
    if delivery.type == POST_RETWEETED:
        if not await state.post_views.exclude_authors([SinglePost(delivery.post)], hidden):
            return None
        retweeters = await state.user_views.get_users((delivery.actor,), user)
        if not retweeters:
            return None
        extra = {"retweeted_by": retweeters[0].model_dump(exclude_none=True)}
    return b'{"post":%s%s' % (post, b"," + encode_json(extra)[1:] if extra else b"}")


async def _render_notification(
    state: ApiState, user: int, delivery: WebhookDelivery
) -> bytes | None:
    kind = delivery.type.removeprefix(NOTIFICATION)
    entry = NotificationEntry(notification_id(delivery.event), kind, delivery.actor, delivery.post)
    shown = await shown_notifications(state, user, [entry])
    store = state.ports.views.current_store("notifications")
    read = (await read_marks_of(store, user)).read
    listed = await render_notifications(state, user, shown, read)
    return b'{"notification":%s}' % listed[1:-1] if len(listed) > 2 else None
