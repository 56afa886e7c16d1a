"""Notifications: who mentioned, favourited, reblogged and followed one."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypedDict

from fastapi import APIRouter, Path
from msgspec import Meta
from pydantic import Field

from api.http.errors import RequestRefused
from api.http.request import Commands
from api.http.tokens import Reader
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import AccountsPage
from api.mastodon.client_request import run_seen
from api.mastodon.entities import Count, EmptyEntity, EntityResponse, Id, Time, about, entity
from api.mastodon.parameters import ClientParameters, OptionalText, Texts, reads
from api.mastodon.status_entities import StatusEntity
from api.schemas import encode_json
from api.state import ApiState, CurrentState
from api.views.notifications import count_unread_notifications, notifications_page
from commands.notifications import DismissNotifications
from events.ids.snowflake import parse_decimal
from events.times import rfc3339
from projections.notifications import (
    MENTION,
    NOTIFICATION_KINDS,
    NotificationEntry,
    notification_ms,
)
from projections.pages import PageRequest

NOTIFICATION_TYPES: Final = {
    "mention": "mention",
    "like": "favourite",
    "retweet": "reblog",
    "follow": "follow",
}
"""Mastodon's names of our kinds."""
GROUP_MS: Final = 12 * 3_600_000
"""Notifications of a kind, of the same post, within this long, are a group."""
_VIEWS: Final = ("notifications",)

router = APIRouter(prefix="/api/v1/notifications", tags=["mastodon"])


NotificationType = Annotated[
    str, Meta(extra_json_schema={"enum": list(NOTIFICATION_TYPES.values())})
]


class NotificationEntity(TypedDict):
    """What an account did that concerns one."""

    id: Annotated[Id, about("Below 2^53")]
    type: Annotated[NotificationType, about("An answer is a `mention`")]
    created_at: Time
    group_key: Annotated[str, about("The same in notifications that are shown as one")]
    account: Annotated[AccountEntity, about("Who did it")]
    status: Annotated[
        StatusEntity | None,
        about("The one that mentions, or one's own that is liked or reblogged; null of a follow"),
    ]


class CountEntity(TypedDict):
    """How many there are."""

    count: Count


class WantedNotifications(ClientParameters):
    """Which notifications are wanted; types that are unknown here are ignored."""

    types: Annotated[
        Texts, Field(description="Only these: `mention`, `favourite`, `reblog`, `follow`")
    ] = Field(default_factory=list)
    exclude_types: Annotated[Texts, Field(description="Not these")] = Field(default_factory=list)
    account_id: Annotated[OptionalText, Field(description="Only those of this account")] = None

    @property
    def kinds(self) -> Sequence[str]:
        """Our kinds that are wanted."""
        return [
            kind
            for kind in NOTIFICATION_KINDS
            if (not self.types or NOTIFICATION_TYPES[kind] in self.types)
            and NOTIFICATION_TYPES[kind] not in self.exclude_types
        ]


@router.get("")
async def list_notifications(
    page: AccountsPage,
    reader: Reader,
    state: CurrentState,
    wanted: Annotated[WantedNotifications, reads(WantedNotifications)],
) -> EntityResponse[list[NotificationEntity]]:
    """The entities `Notification`, newest first."""
    if not wanted.kinds:
        return entity([])
    found, scanned_to = await notifications_page(state, reader, page.wanted, wanted.kinds)
    shown = [one for one in found if wanted.account_id in (None, str(one.actor))]
    # The links come from all that were found, so a walk goes on past what is filtered out.
    body = b"[" + b",".join(await render_notifications(state, reader, shown)) + b"]"
    return entity(body, page.link_header([one.id for one in found], scanned_to))


@router.get("/unread_count")
async def count_unread(reader: Reader, state: CurrentState) -> EntityResponse[CountEntity]:
    """How many notifications are not read yet, up to 100."""
    return entity({"count": await count_unread_notifications(state, reader)})


@router.post("/clear")
async def clear_notifications(
    commands: Commands, state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Dismiss all notifications that there are."""
    newest, _ = await notifications_page(state, commands.actor, PageRequest(1), NOTIFICATION_KINDS)
    if newest:
        await run_seen(state, commands, DismissNotifications(0, newest[0].id), views=_VIEWS)
    return entity({})


def _parse_id(id: str) -> int:
    wanted = parse_decimal(id)
    if not wanted or wanted >= 1 << 53:
        raise _no_such_notification(id)
    return wanted


@router.get("/{id}")
async def get_notification(
    id: Annotated[str, Path()], reader: Reader, state: CurrentState
) -> EntityResponse[NotificationEntity]:
    """A notification."""
    wanted = _parse_id(id)
    request = PageRequest(1, max_id=wanted + 1)
    found, _ = await notifications_page(state, reader, request, NOTIFICATION_KINDS)
    rendered = await render_notifications(state, reader, [one for one in found if one.id == wanted])
    if not rendered:
        raise _no_such_notification(id)
    return entity(rendered[0])


@router.post("/{id}/dismiss")
async def dismiss_notification(
    commands: Commands, id: Annotated[str, Path()], state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Dismiss one notification."""
    wanted = _parse_id(id)
    await run_seen(state, commands, DismissNotifications(wanted, wanted), views=_VIEWS)
    return entity({})


def _no_such_notification(id: str) -> RequestRefused:
    return RequestRefused(404, "not-found", f"there is no notification {id[:40]} (any more)")


def group_key(one: NotificationEntry) -> str:
    """What notifications of one group have in common. A mention stands for itself."""
    if one.kind == MENTION:
        return f"ungrouped-{one.id}"
    name, bucket = NOTIFICATION_TYPES[one.kind], notification_ms(one.id) // GROUP_MS
    return f"{name}-{one.post}-{bucket}" if one.post else f"{name}-{bucket}"


async def render_notifications(
    state: ApiState, reader: int, found: Sequence[NotificationEntry]
) -> list[bytes]:
    """Those of the notifications whose account and post are still there, each as JSON."""
    accounts = await state.statuses.accounts.render({one.actor for one in found})
    posts = await state.statuses.render_posts({one.post for one in found if one.post}, reader)
    rendered = []
    for one in found:
        if one.actor not in accounts or (one.post and one.post not in posts):
            continue
        head: dict[str, Any] = {
            "id": str(one.id),
            "type": NOTIFICATION_TYPES[one.kind],
            "created_at": rfc3339(notification_ms(one.id)),
            "group_key": group_key(one),
        }
        status = b',"status":' + (posts[one.post] if one.post else b"null")
        account = b',"account":' + accounts[one.actor]
        rendered.append(encode_json(head)[:-1] + account + status + b"}")
    return rendered
