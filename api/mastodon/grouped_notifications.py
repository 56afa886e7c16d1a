"""Notifications in groups: those of a kind, of the same post, within half a day."""

from collections.abc import Collection, Sequence
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter, Path
from msgspec import Meta
from pydantic import Field

from api.http.errors import RequestRefused
from api.http.request import Commander, Commands
from api.http.tokens import Reader
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import AccountsPage, clamped_limit
from api.mastodon.client_request import await_views
from api.mastodon.entities import (
    Count,
    EmptyEntity,
    EmptyList,
    EntityResponse,
    Id,
    Time,
    about,
    entity,
)
from api.mastodon.notifications import (
    GROUP_MS,
    NOTIFICATION_TYPES,
    CountEntity,
    NotificationType,
    WantedNotifications,
    group_key,
)
from api.mastodon.parameters import ClientParameters, OptionalText, Texts, reads
from api.mastodon.status_entities import StatusEntity
from api.schemas import encode_json
from api.state import ApiState, CurrentState
from api.views.notifications import notifications_page
from commands.notifications import DismissNotifications
from events.ids.snowflake import parse_decimal
from events.times import rfc3339
from projections.notifications import (
    NOTIFICATION_KINDS,
    NotificationEntry,
    first_notification_at,
    notification_ms,
    read_marks_of,
)
from projections.pages import PageRequest

_SAMPLES: Final = 8
"""Accounts of a group that are named."""
_MOST_READ: Final = 1000
"""Notifications that are looked at for one answer."""
_CHUNK: Final = 200
_KINDS_BY_TYPE: Final = {type: kind for kind, type in NOTIFICATION_TYPES.items()}

router = APIRouter(prefix="/api", tags=["mastodon"])


class NotificationGroupEntity(TypedDict):
    """Notifications that are shown as one."""

    group_key: str
    notifications_count: Annotated[Count, about("Of this page")]
    type: NotificationType
    most_recent_notification_id: Annotated[int, about("A number, below 2^53")]
    page_min_id: Annotated[Id, about("The oldest one on this page")]
    page_max_id: Annotated[Id, about("The newest one")]
    latest_page_notification_at: Time
    sample_account_ids: Annotated[list[Id], about("Eight at most, the newest first")]
    status_id: Annotated[Id | None, about("Null of follows")]


class GroupedNotificationsResultsEntity(TypedDict):
    """Groups, and once each what they name by id."""

    accounts: list[AccountEntity]
    statuses: list[StatusEntity]
    notification_groups: list[NotificationGroupEntity]


class PolicySummaryEntity(TypedDict):
    """How many notifications are held back: none."""

    pending_requests_count: int
    pending_notifications_count: int


_Accepted = Annotated[str, Meta(extra_json_schema={"enum": ["accept"]})]


class NotificationPolicyEntity(TypedDict):
    """What becomes of notifications of some accounts: all are shown."""

    for_not_following: _Accepted
    for_not_followers: _Accepted
    for_new_accounts: _Accepted
    for_private_mentions: _Accepted
    for_limited_accounts: _Accepted
    summary: PolicySummaryEntity


_POLICY: Final[NotificationPolicyEntity] = {
    "for_not_following": "accept",
    "for_not_followers": "accept",
    "for_new_accounts": "accept",
    "for_private_mentions": "accept",
    "for_limited_accounts": "accept",
    "summary": {"pending_requests_count": 0, "pending_notifications_count": 0},
}

Group = list[NotificationEntry]
"""Notifications with the same key, newest first."""


class WantedGroups(WantedNotifications):
    """Which notifications are wanted, and which types are grouped: all unless some are named."""

    grouped_types: Annotated[
        Texts, Field(description="Types that are grouped: all unless some are named")
    ] = Field(default_factory=list)
    limit: Annotated[OptionalText, Field(description="How many groups at most")] = None

    def key_of(self, one: NotificationEntry) -> str:
        """The key of the notification's group."""
        type = NOTIFICATION_TYPES[one.kind]
        alone = bool(self.grouped_types) and type not in self.grouped_types
        return f"ungrouped-{one.id}" if alone else group_key(one)


class PolicyChange(ClientParameters):
    """What should become of notifications of some accounts."""

    for_not_following: Annotated[
        OptionalText, Field(description="`accept`: all else is refused")
    ] = None
    for_not_followers: Annotated[OptionalText, Field(description="`accept`")] = None
    for_new_accounts: Annotated[OptionalText, Field(description="`accept`")] = None
    for_private_mentions: Annotated[OptionalText, Field(description="`accept`")] = None
    for_limited_accounts: Annotated[OptionalText, Field(description="`accept`")] = None


@router.get("/v2/notifications")
async def list_groups(
    page: AccountsPage,
    reader: Reader,
    state: CurrentState,
    wanted: Annotated[WantedGroups, reads(WantedGroups)],
) -> EntityResponse[GroupedNotificationsResultsEntity]:
    """The entity `GroupedNotificationsResults`, the group with the newest notification first."""
    found, last = await _read_page(state, reader, page.wanted, wanted)
    groups = _grouped(found, wanted)[: page.wanted.limit]
    kept = {wanted.key_of(group[0]) for group in groups}
    # The page ends before the first notification of a group that it has no place for.
    end = next((one.id for one in found if wanted.key_of(one) not in kept), None)
    ids = [one.id for one in found if end is None or one.id > end]
    headers = page.link_header(ids, last if end is None else None)
    return entity(await _render(state, reader, groups, wanted, end or 0), headers)


@router.get("/v2/notifications/unread_count")
async def count_unread_groups(
    reader: Reader, state: CurrentState, wanted: Annotated[WantedGroups, reads(WantedGroups)]
) -> EntityResponse[CountEntity]:
    """How many groups have notifications that are not read yet."""
    most = clamped_limit(wanted.limit, 100, 1000)
    store = state.ports.views.current_store("notifications")
    read = (await read_marks_of(store, reader)).read
    found, _ = await _read_page(state, reader, PageRequest(most, since_id=read), wanted)
    return entity({"count": min(most, len(_grouped(found, wanted)))})


@router.get("/v2/notifications/policy")
async def get_policy(reader: Reader) -> EntityResponse[NotificationPolicyEntity]:
    """The entity `NotificationPolicy`: all notifications are shown."""
    return entity(_POLICY)


@router.patch("/v2/notifications/policy")
async def change_policy(
    reader: Reader, change: Annotated[PolicyChange, reads(PolicyChange)]
) -> EntityResponse[NotificationPolicyEntity]:
    """The policy as it is. One that would hide notifications is refused."""
    for name, wanted in change.model_dump(exclude_none=True).items():
        if wanted != "accept":
            message = f"Validation failed: `{name}`: this server shows all notifications"
            raise RequestRefused(422, "invalid-body", message)
    return await get_policy(reader)


@router.get("/v1/notifications/requests")
async def list_requests(reader: Reader) -> EntityResponse[EmptyList]:
    """An empty list: no notification is held back."""
    return entity([])


@router.get("/v2/notifications/{group}")
async def get_group(
    group: Annotated[str, Path()], reader: Reader, state: CurrentState
) -> EntityResponse[GroupedNotificationsResultsEntity]:
    """The entity `GroupedNotificationsResults` with one group."""
    found = await _find_group(state, reader, group)
    return entity(await _render(state, reader, [found], WantedGroups()))


@router.get("/v2/notifications/{group}/accounts")
async def list_accounts_of_group(
    group: Annotated[str, Path()], reader: Reader, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """The accounts of a group, the newest first."""
    found = await _find_group(state, reader, group)
    accounts = list(dict.fromkeys(one.actor for one in found))
    return entity(await state.statuses.accounts.render_list(accounts))


@router.post("/v2/notifications/{group}/dismiss")
async def dismiss_group(
    commands: Commands, group: Annotated[str, Path()], state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Dismiss all notifications of a group."""
    # An idempotency key is for one command, and these are several that may be given twice.
    each = Commander(state, commands.actor, None)
    outcome = None
    for one in await _find_group(state, commands.actor, group):
        outcome = await each.run(DismissNotifications(one.id, one.id))
    if outcome is not None:
        await await_views(state, outcome, ("notifications",))
    return entity({})


async def _read_page(
    state: ApiState, reader: int, request: PageRequest, wanted: WantedGroups
) -> tuple[list[NotificationEntry], int | None]:
    """Notifications within the bounds of a page until they are of more groups than it holds, and
    to the begin of their half-day; and how far it was read where there may be more.
    """
    found: list[NotificationEntry] = []
    if not wanted.kinds:
        return found, None
    chunk = request._replace(limit=request.limit if request.min_id is not None else _CHUNK)
    for _ in range(_MOST_READ // _CHUNK):
        part, scanned_to = await notifications_page(state, reader, chunk, wanted.kinds)
        found += [one for one in part if wanted.account_id in (None, str(one.actor))]
        end = part[-1].id if len(part) == chunk.limit else scanned_to
        if end is None or request.min_id is not None:
            return found, scanned_to
        groups = _grouped(found, wanted)
        if len(groups) > request.limit:
            oldest = groups[request.limit - 1][0].id
            if notification_ms(end) < notification_ms(oldest) // GROUP_MS * GROUP_MS:
                return found, None
        chunk = chunk.beyond(end)
    return found, end


def _grouped(found: Sequence[NotificationEntry], wanted: WantedGroups) -> list[Group]:
    groups: dict[str, Group] = {}
    for one in found:
        groups.setdefault(wanted.key_of(one), []).append(one)
    return list(groups.values())


async def _find_group(state: ApiState, reader: int, key: str) -> Group:
    """The notifications with a key. Raises `RequestRefused` (404)."""
    type, _, rest = key.partition("-")
    *_, number = rest.split("-")
    place = parse_decimal(number)
    group: Group = []
    if type == "ungrouped" and place and place < 1 << 53:
        request = PageRequest(1, max_id=place + 1)
        found, _ = await notifications_page(state, reader, request, NOTIFICATION_KINDS)
        group = [one for one in found if one.id == place]
    elif type in _KINDS_BY_TYPE and place and place < 1 << 20:
        begin, end = place * GROUP_MS, (place + 1) * GROUP_MS
        bounds = (first_notification_at(end), first_notification_at(begin) - 1)
        request = PageRequest(_MOST_READ, *bounds)
        kinds: Collection[str] = (_KINDS_BY_TYPE[type],)
        found, _ = await notifications_page(state, reader, request, kinds)
        group = [one for one in found if group_key(one) == key]
    if not group:
        raise RequestRefused(404, "not-found", f"there is no group {key[:60]} (any more)")
    return group


async def _render(
    state: ApiState, reader: int, groups: Sequence[Group], wanted: WantedGroups, end: int = 0
) -> bytes:
    """The groups of a page that goes down to the notifications above `end`."""
    actors = {one.actor for group in groups for one in _samples(group)}
    accounts = await state.statuses.accounts.render(actors)
    posts = {group[0].post for group in groups if group[0].post}
    statuses = await state.statuses.render_posts(posts, reader)
    shown = [
        _group_entity(group, wanted.key_of(group[0]), end)
        for group in groups
        if not group[0].post or group[0].post in statuses
    ]
    return b'{"accounts":[%s],"statuses":[%s],"notification_groups":%s}' % (
        b",".join(accounts.values()),
        b",".join(statuses.values()),
        encode_json(shown),
    )


def _samples(group: Group) -> list[NotificationEntry]:
    """The newest notifications of different accounts."""
    by_actor: dict[int, NotificationEntry] = {}
    for one in group:
        by_actor.setdefault(one.actor, one)
    return list(by_actor.values())[:_SAMPLES]


def _group_entity(group: Group, key: str, end: int) -> NotificationGroupEntity:
    newest, oldest = group[0], [one for one in group if one.id > end][-1]
    return {
        "group_key": key,
        "notifications_count": len(group),
        "type": NOTIFICATION_TYPES[newest.kind],
        "most_recent_notification_id": newest.id,
        "page_min_id": str(oldest.id),
        "page_max_id": str(newest.id),
        "latest_page_notification_at": rfc3339(notification_ms(newest.id)),
        "sample_account_ids": [str(one.actor) for one in _samples(group)],
        "status_id": str(newest.post) if newest.post else None,
    }
