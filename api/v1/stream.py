"""`GET /v1/stream`: what is new for a signed-in user, as it happens."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response

from api.accounts.access_tokens import USER_SCOPE
from api.accounts.app_scopes import NOTIFICATIONS_SCOPE
from api.http.errors import RequestRefused, problems, translate_error
from api.http.request import QUERY_PROBLEMS
from api.http.route import ApiRoute
from api.http.streaming_response import EVENT_STREAM, StreamedResponse
from api.http.tokens import CurrentToken, Reader, has_app_scope, requires_scope, sent_token
from api.live.hub import LiveHub
from api.live.live_reader import LAST_ORDINAL, LiveMessage, LiveReader, MessageId, Topics
from api.live.live_update import LiveUpdate, UpdateKind
from api.schemas import encode_json
from api.state import ApiState, CurrentState
from api.views.notifications import render_notifications, shown_notifications
from events.ids.snowflake import parse_decimal
from events.log import run_read
from projections.notifications import NotificationEntry
from projections.timeline import TimelineEntry

_NEWS: Final = Topics(home=True, notifications=True, trends=True)
_NAMES: Final = {
    UpdateKind.POST: "post",
    UpdateKind.RETWEET: "post",
    UpdateKind.EDIT: "edit",
    UpdateKind.DELETE: "delete",
}
"""The names of messages; others are not told."""

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["live"])


@dataclass(frozen=True, slots=True)
class NewsFormat:
    """The messages of `GET /v1/stream`: a `LiveFormat`, the same for all of a process."""

    state: ApiState

    async def render_update(self, update: LiveUpdate) -> LiveMessage | None:
        """A post, without marks of a reader; the id of a deleted one."""
        name = _NAMES.get(update.kind)
        if name is None:
            return None
        if update.kind == UpdateKind.DELETE:
            return LiveMessage(name, encode_json({"id": str(update.post)}))
        retweeter = update.actor if update.is_retweet else None
        entry = TimelineEntry(update.event, update.post, retweeter)
        page = await self.state.post_views.render_page([entry], 0)
        return LiveMessage(name, page[1:-1]) if page != b"[]" else None

    async def mark_update(
        self, update: LiveUpdate, message: LiveMessage, users: Collection[int]
    ) -> Mapping[int, LiveMessage]:
        """None: this API marks no posts."""
        return {}

    def filters_changed(self) -> LiveMessage | None:
        """Nothing, for the same reason."""
        return None

    async def render_notification(self, user: int, entry: NotificationEntry) -> LiveMessage | None:
        """A notification as `GET /v1/notifications` has it."""
        shown = await shown_notifications(self.state, user, [entry])
        page = await render_notifications(self.state, user, shown, 0)
        return LiveMessage("notification", page[1:-1]) if page != b"[]" else None

    def frame(self, message: LiveMessage, label: tuple[str, ...], id: MessageId | None) -> bytes:
        """A server-sent event, with an id where it can be resumed from."""
        line = b"id: %d-%d\n" % id if id is not None else b""
        return b"event: %s\n%sdata: %s\n\n" % (message.name.encode(), line, message.data)

    def heartbeat(self, through: MessageId) -> bytes:
        """A comment. Its id is where a client resumes that has heard nothing since."""
        return b": still here\nid: %d-%d\n\n" % through


@router.get(
    "/stream",
    response_class=Response,
    dependencies=[requires_scope(USER_SCOPE)],
    responses=QUERY_PROBLEMS
    | {200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}
    | problems(403),
)
async def stream_news(
    request: Request,
    reader: Reader,
    claims: CurrentToken,
    state: CurrentState,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """New posts of the home timeline, edits, deletions, notifications and trends, as server-sent
    events: `post`, `edit`, `delete`, `notification`, `trends`, and `problem` where it ends.

    A stream goes on behind the id in `Last-Event-ID`, and begins now without one. An app hears of
    notifications if it has the scope `read:notifications`.
    """
    after = await _parse_id(state, last_event_id) if last_event_id else None
    connected = await state.live.connect(
        reader,
        NewsFormat(state),
        sent_token(request.headers["authorization"]),
        after,
    )
    allowed = has_app_scope(claims, NOTIFICATIONS_SCOPE)
    await state.live.subscribe(connected, (), _NEWS._replace(notifications=allowed))
    chunks = _news(state.live, connected)
    return StreamedResponse(chunks, state.open_streams, EVENT_STREAM, endless=True)


async def _parse_id(state: ApiState, text: str) -> MessageId:
    """Raises `RequestRefused` (422), `NoSuchPosition`."""
    position, _, ordinal = text.partition("-")
    id = MessageId(_number(position), _number(ordinal or str(LAST_ORDINAL)))
    log = state.ports.log
    if id.position > await run_read(log, log.head) or id.ordinal > LAST_ORDINAL:
        raise _no_such_id()
    await run_read(log, log.read_all, id.position, limit=1)
    return id


def _number(text: str) -> int:
    if (number := parse_decimal(text)) is None:
        raise _no_such_id()
    return number


def _no_such_id() -> RequestRefused:
    message = "`Last-Event-ID` must be the id of a message of this stream"
    return RequestRefused(422, "invalid-position", message)


async def _news(hub: LiveHub, reader: LiveReader) -> AsyncGenerator[bytes, None]:
    yield b"retry: 1000\n\n"
    async with aclosing(hub.tell(reader)) as told:
        async for frames in told:
            yield b"".join(frames)
    if reader.problem is not None:
        problem = translate_error(reader.problem).problem.model_dump_json().encode()
        yield b"event: problem\ndata: %s\n\n" % problem
