"""`/v1/notifications`: who mentioned, liked, retweeted and followed one; what of it is read."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, UsersPage
from api.http.request import (
    QUERY_PROBLEMS,
    Commands,
    command_problems,
    fresh_views,
    json_response,
    position_header,
)
from api.http.route import ApiRoute
from api.http.tokens import Reader, requires_scope
from api.schemas import Done
from api.state import CurrentState
from api.v1.posts import POST_VIEWS
from api.views.notifications import (
    Notification,
    NotificationKind,
    ReadThrough,
    UnreadCount,
    count_unread_notifications,
    notifications_page,
    render_notifications,
)
from commands.errors import InvalidInput
from commands.notifications import DismissNotifications, ReadNotifications
from events.ids.snowflake import parse_decimal
from projections import notifications
from projections.notifications import NOTIFICATION_KINDS
from projections.pages import PageRequest

router = APIRouter(route_class=ApiRoute, prefix="/v1/notifications", tags=["notifications"])

_READING: Final = [
    requires_scope(USER_SCOPE),
    fresh_views("notifications", *POST_VIEWS),
]


@router.get(
    "",
    response_model=list[Notification],
    responses=PAGE_RESPONSE | problems(403),
    dependencies=_READING,
)
async def list_notifications(
    page: UsersPage,
    reader: Reader,
    state: CurrentState,
    types: Annotated[
        list[NotificationKind], Query(alias="type", description="only these; may be repeated")
    ] = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Mentions (answers are mentions), likes, retweets and follows, newest first."""
    kinds = types or NOTIFICATION_KINDS
    found, scanned_to = await notifications_page(state, reader, page.request, kinds)
    store = state.ports.views.current_store("notifications")
    read = (await notifications.read_marks_of(store, reader)).read
    body = await render_notifications(state, reader, found, read)
    return json_response(body, headers=page.link_header([one.id for one in found], scanned_to))


@router.get("/unread", responses=QUERY_PROBLEMS | problems(403), dependencies=_READING)
async def count_unread(reader: Reader, state: CurrentState) -> UnreadCount:
    """How many notifications are not read yet, up to 100."""
    return UnreadCount(unread=await count_unread_notifications(state, reader))


async def read_notifications(wanted: ReadThrough, commands: Commands) -> Response:
    """Mark all notifications up to one as read."""
    outcome = await commands.run(ReadNotifications(_parse_id(wanted.through)))
    return json_response(Done(id=str(outcome.id)), headers=position_header(outcome))


for _method in ("POST", "PUT"):
    router.add_api_route(
        "/read",
        read_notifications,
        methods=[_method],
        name=f"read_notifications_by_{_method.lower()}",
        response_model=Done,
        responses=command_problems(),
    )


@router.delete("", response_model=Done, responses=command_problems())
async def clear_notifications(commands: Commands, state: CurrentState) -> Response:
    """Dismiss all notifications that there are."""
    newest, _ = await notifications_page(state, commands.actor, PageRequest(1), NOTIFICATION_KINDS)
    if not newest:
        commands.check_key()
        return json_response(Done(id="0"))
    outcome = await commands.run(DismissNotifications(0, newest[0].id))
    return json_response(Done(id=str(outcome.id)), headers=position_header(outcome))


@router.delete("/{id:digits}", response_model=Done, responses=command_problems(404))
async def dismiss_notification(
    commands: Commands, id: Annotated[str, Path(json_schema_extra={"pattern": "^[0-9]{1,16}$"})]
) -> Response:
    """Dismiss one notification."""
    wanted = _parse_id(id)
    outcome = await commands.run(DismissNotifications(wanted, wanted))
    return json_response(Done(id=str(outcome.id)), headers=position_header(outcome))


def _parse_id(text: str) -> int:
    id = parse_decimal(text)
    if not id:
        message = f"{text[:40]!r} is no id of a notification; give one that the list showed"
        raise InvalidInput("notification-invalid", message)
    return id
