"""`/v1/webhooks`: addresses that are told what happens in one's world.

An app sees and changes the webhooks that are its own; its user sees all, and may remove all.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field, TypeAdapter

from api.accounts.token_store import TokenClaims
from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, UsersPage
from api.http.request import json_response
from api.http.route import ApiRoute
from api.http.tokens import CurrentToken, require_account
from api.schemas import ApiModel, Count, Done, Id
from api.state import ApiState, CurrentState
from api.webhooks import webhook_store
from api.webhooks.app_grants import require_types, standing_webhooks
from api.webhooks.endpoint_address import MAX_URL, check_endpoint
from api.webhooks.webhook_message import new_secret
from commands.errors import NotAllowed, NotFound, StateConflict
from events.ids.snowflake import time_ms
from events.log import run_read
from events.times import optional_rfc3339, rfc3339
from projections.pages import PageRequest

MOST_WEBHOOKS: Final = 10
"""Of a user's own, and of each app of the user's."""
MOST_OF_APPS: Final = 50
"""Of all apps of a user's together, so that they don't take the user's own."""

router = APIRouter(route_class=ApiRoute, prefix="/v1/webhooks", tags=["webhooks"])

EventType = Literal[
    "post.created", "post.edited", "post.deleted", "post.retweeted", "notification.mention",
    "notification.like", "notification.retweet", "notification.follow",
]  # fmt: skip
EndpointUrl = Annotated[
    str, Field(max_length=MAX_URL, examples=["https://example.org/starling"], pattern="^https?://")
]
EventTypes = Annotated[
    list[EventType],
    Field(min_length=1, max_length=16, examples=[["post.created", "notification.mention"]]),
]
Number = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9]{1,19}$"})]
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = problems(401, 403, 404, 422, 503)


class NewWebhook(ApiModel):
    """An address, and the types of events that it is told of."""

    url: EndpointUrl
    types: EventTypes


class WebhookPatch(ApiModel):
    """What to change of a webhook; what is left out (or null) stays as it is."""

    url: EndpointUrl | None = None
    types: EventTypes | None = None


class WebhookApp(ApiModel):
    """The app that a webhook is of."""

    id: Id
    name: str


class ShownWebhook(ApiModel):
    """A webhook. Its secret is in the answer to `POST` alone.

    One whose endpoint said that it is gone has ended, with `ended_at` and `reason`.
    """

    id: Id
    url: EndpointUrl
    types: list[EventType]
    created_at: str
    app: WebhookApp | None = None
    state: Literal["active", "ended"]
    ended_at: str | None = None
    reason: str | None = None
    secret: Annotated[str | None, Field(description="what signs messages; shown once")] = None


class ShownDelivery(ApiModel):
    """What was sent, or is to be: `webhook_id` is the header of that name in every try."""

    id: Annotated[str, Field(examples=["17"])]
    webhook_id: Annotated[str, Field(examples=["1790012345678901248-0"])]
    type: EventType
    state: Literal["pending", "delivered", "skipped", "failed"]
    attempts: Count
    queued_at: str
    tried_at: str | None = None
    status: Annotated[int | None, Field(description="what the endpoint answered last")] = None
    problem: Annotated[str | None, Field(description="why the last try failed")] = None


_WEBHOOKS: Final = TypeAdapter(list[ShownWebhook])
_DELIVERIES: Final = TypeAdapter(list[ShownDelivery])


@router.post(
    "", status_code=201, response_model=ShownWebhook, responses=problems(401, 403, 409, 422, 503)
)
async def subscribe_webhook(new: NewWebhook, token: CurrentToken, state: CurrentState) -> Response:
    """Have an address told of types of events from now on; an app of those that its scopes read."""
    await _webhooks_of(state, token)
    require_types(token, new.types)
    ports = state.ports
    check_endpoint(new.url, ports.webhooks.loopback)
    since = await run_read(ports.log, ports.log.head)
    webhook = webhook_store.Webhook(
        ports.new_id(), token.user, new.url, frozenset[str](new.types), since, token.app,
        None if token.app is None else token.id,
    )  # fmt: skip
    secret = new_secret()
    subscribe = ports.webhooks.store.subscribe
    if not await subscribe(webhook, secret, MOST_WEBHOOKS, MOST_OF_APPS):
        there = (
            f"you have {MOST_WEBHOOKS} webhooks of your own"
            if token.app is None
            else f"the app has {MOST_WEBHOOKS} webhooks here, or all apps have {MOST_OF_APPS}"
        )
        raise StateConflict("too-many-webhooks", f"{there}: remove one first")
    [shown] = await shown_webhooks(state, [webhook], secret)
    return json_response(shown, 201)


@router.get("", response_model=list[ShownWebhook], responses=problems(401, 403, 503))
async def list_webhooks(token: CurrentToken, state: CurrentState) -> Response:
    """One's webhooks, also those of apps, the oldest first; an app is shown its own."""
    shown = await shown_webhooks(state, await _webhooks_of(state, token))
    return json_response(_WEBHOOKS.dump_json(shown, exclude_none=True))


@router.get("/{id:digits}", response_model=ShownWebhook, responses=_PROBLEMS)
async def get_webhook(id: Number, token: CurrentToken, state: CurrentState) -> Response:
    """A webhook."""
    [shown] = await shown_webhooks(state, [await _find_webhook(state, token, id)])
    return json_response(shown)


@router.patch("/{id:digits}", response_model=ShownWebhook, responses=_PROBLEMS)
async def change_webhook(
    id: Number, patch: WebhookPatch, token: CurrentToken, state: CurrentState
) -> Response:
    """Give a webhook another address or other types. What waits is sent to the new address. One
    that has ended goes on with what happens from now on."""
    webhook, ports = await _find_webhook(state, token, id), state.ports
    if webhook.app != token.app:
        raise NotAllowed("webhook-of-app", "it is an app's: change it there, or remove it")
    if patch.url is not None:
        check_endpoint(patch.url, ports.webhooks.loopback)
        webhook = webhook._replace(url=patch.url)
    if patch.types is not None:
        webhook = webhook._replace(types=frozenset[str](patch.types))
    require_types(token, webhook.types)
    if webhook.app is not None:
        webhook = webhook._replace(token=token.id)
    if webhook.ended_ms:
        since = await run_read(ports.log, ports.log.head)
        webhook = webhook._replace(since=since, ended_ms=0, reason="")
    if not await ports.webhooks.store.resubscribe(webhook):
        raise _no_such_webhook(id)
    [shown] = await shown_webhooks(state, [webhook])
    return json_response(shown)


@router.delete("/{id:digits}", response_model=Done, responses=_PROBLEMS)
async def unsubscribe_webhook(id: Number, token: CurrentToken, state: CurrentState) -> Response:
    """Remove a webhook; what waits is not sent any more."""
    webhook = await _find_webhook(state, token, id)
    if not await state.ports.webhooks.store.unsubscribe(token.user, webhook.id):
        raise _no_such_webhook(id)
    return json_response(Done(id=str(webhook.id), deleted=True))


@router.get(
    "/{id:digits}/deliveries",
    response_model=list[ShownDelivery],
    responses=PAGE_RESPONSE | problems(403, 404),
)
async def list_deliveries(
    id: Number, page: UsersPage, token: CurrentToken, state: CurrentState
) -> Response:
    """What was sent to a webhook in the last seven days, and what waits, newest first."""
    webhook = await _find_webhook(state, token, id)
    found = await state.ports.webhooks.store.list_deliveries(webhook.id, page.request)
    body = _DELIVERIES.dump_json(list(map(_shown_delivery, found)), exclude_none=True)
    return json_response(body, headers=page.link_header([one.number for one in found]))


@router.post(
    "/{id:digits}/deliveries/{number:digits}/replay",
    status_code=202,
    response_model=ShownDelivery,
    responses=problems(401, 403, 404, 409, 422, 503),
)
async def replay_delivery(
    id: Number, number: Number, token: CurrentToken, state: CurrentState
) -> Response:
    """Send something once more, behind all that waits, with the same `webhook-id`."""
    webhook = await _find_webhook(state, token, id)
    if webhook.ended_ms:
        raise StateConflict("webhook-ended", "its endpoint is gone: begin it anew with PATCH first")
    store, wanted = state.ports.webhooks.store, min(int(number), (1 << 63) - 1)
    again = await store.replay(webhook.id, wanted, state.ports.clock_ms())
    if again is None:
        around = PageRequest(1, max_id=wanted + 1, since_id=wanted - 1)
        if wanted < (1 << 63) - 1 and await store.list_deliveries(webhook.id, around):
            raise StateConflict("delivery-pending", "it is still to be sent: wait for that")
        raise NotFound("delivery-not-found", f"there is no delivery {number} (any more)")
    return json_response(_shown_delivery(again), 202)


async def _webhooks_of(state: ApiState, token: TokenClaims) -> list[webhook_store.Webhook]:
    """Those that a token may see, once the account may use it."""
    await require_account(state, token.user)
    found = await state.ports.webhooks.store.webhooks_of(token.user)
    standing = await standing_webhooks(state.ports, found)
    return [one for one in standing if token.app in (None, one.app)]


async def _find_webhook(state: ApiState, token: TokenClaims, id: str) -> webhook_store.Webhook:
    for webhook in await _webhooks_of(state, token):
        if str(webhook.id) == id:
            return webhook
    raise _no_such_webhook(id)


def _no_such_webhook(id: str) -> NotFound:
    return NotFound("webhook-not-found", f"you have no webhook {id[:40]} (any more); check the id")


async def shown_webhooks(
    state: ApiState, webhooks: Sequence[webhook_store.Webhook], secret: str | None = None
) -> list[ShownWebhook]:
    """Webhooks as their owner sees them; with the secret where one is given."""
    apps = await state.ports.apps.find_apps({one.app for one in webhooks if one.app is not None})
    shown = []
    for one in webhooks:
        app = apps.get(one.app) if one.app is not None else None
        values = {
            "id": str(one.id),
            "url": one.url,
            "types": sorted(one.types),
            "created_at": rfc3339(time_ms(one.id)),
            "app": None if app is None else WebhookApp(id=str(app.id), name=app.name),
            "state": "ended" if one.ended_ms else "active",
            "ended_at": optional_rfc3339(one.ended_ms),
            "reason": one.reason or None,
            "secret": secret,
        }
        shown.append(ShownWebhook.model_validate(values))
    return shown


def _shown_delivery(delivery: webhook_store.WebhookDelivery) -> ShownDelivery:
    tried = rfc3339(delivery.tried_ms) if delivery.tried_ms else None
    return ShownDelivery.model_validate(
        {
            "id": str(delivery.number),
            "webhook_id": delivery.message_id,
            "type": delivery.type,
            "state": str(delivery.state),
            "attempts": delivery.attempts,
            "queued_at": rfc3339(delivery.queued_ms),
            "tried_at": tried,
            "status": delivery.status or None,
            "problem": delivery.problem or None,
        }
    )
