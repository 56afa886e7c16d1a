"""Markers: how far a user read the home timeline and the notifications, on whichever device."""

from typing import Annotated, Any, Final, TypedDict

from fastapi import APIRouter
from pydantic import Field

from api.accounts.account_store import TimelineMarker
from api.http.errors import RequestRefused
from api.http.request import Commands
from api.http.tokens import Reader
from api.mastodon.client_request import run_seen
from api.mastodon.entities import Count, EntityResponse, Id, Time, about, entity
from api.mastodon.parameters import ClientParameters, Texts, example, objects, reads
from api.state import ApiState, CurrentState
from commands.notifications import ReadNotifications
from events.ids.snowflake import parse_decimal, time_ms
from events.times import rfc3339
from projections.notifications import read_marks_of

HOME: Final = "home"
NOTIFICATIONS: Final = "notifications"

router = APIRouter(prefix="/api/v1/markers", tags=["mastodon"])


class MarkerEntity(TypedDict):
    """Up to where a timeline was read."""

    last_read_id: Annotated[Id, about("0 where nothing was read yet")]
    version: Annotated[Count, about("How often it was moved")]
    updated_at: Time


class WantedMarkers(ClientParameters):
    """The timelines whose markers are wanted."""

    timeline: Annotated[Texts, Field(description="`home`, `notifications`, or both")] = Field(
        default_factory=list
    )


MarkedEntry = Annotated[Any, objects("last_read_id")]


class MovedMarkers(ClientParameters):
    """Up to which entry a timeline was read: `home[last_read_id]`."""

    model_config = example(home={"last_read_id": "7412308000010240"})

    home: Annotated[MarkedEntry, Field(description="The last post that was read")] = None
    notifications: Annotated[
        MarkedEntry,
        Field(description="The last notification that was read; it is read in `/v1`, too"),
    ] = None


@router.get("")
async def get_markers(
    reader: Reader, state: CurrentState, wanted: Annotated[WantedMarkers, reads(WantedMarkers)]
) -> EntityResponse[dict[str, MarkerEntity]]:
    """Entities `Marker` by timeline; where nothing was read yet, one that says 0."""
    kept = await state.ports.accounts.read_markers(reader)
    unread = TimelineMarker(0, 0, time_ms(reader))
    found = {name: kept.get(name, unread) for name in (HOME, NOTIFICATIONS)}
    # Notifications may have been read over the other API, too.
    store = state.ports.views.current_store("notifications")
    read = (await read_marks_of(store, reader)).read
    marker = found[NOTIFICATIONS]
    found[NOTIFICATIONS] = marker._replace(last_read=max(read, marker.last_read))
    return entity({name: _entity(found[name]) for name in wanted.timeline if name in found})


@router.post("")
async def move_markers(
    commands: Commands, state: CurrentState, moved: Annotated[MovedMarkers, reads(MovedMarkers)]
) -> EntityResponse[dict[str, MarkerEntity]]:
    """Move markers. Of two devices that do so at once, the later one's hold."""
    ids = {HOME: _last_read_id(moved.home), NOTIFICATIONS: _last_read_id(moved.notifications)}
    if ids[NOTIFICATIONS]:
        await _read_notifications(state, commands, ids[NOTIFICATIONS])
    answer = {}
    for name, id in ids.items():
        if id is not None:
            now_ms = state.ports.clock_ms()
            marker = await state.ports.accounts.move_marker(commands.actor, name, id, now_ms)
            answer[name] = _entity(marker)
    return entity(answer)


async def _read_notifications(state: ApiState, commands: Commands, through: int) -> None:
    await run_seen(state, commands, ReadNotifications(through), views=(NOTIFICATIONS,))


def _last_read_id(given: Any) -> int | None:
    text = given.get("last_read_id") if isinstance(given, dict) else None
    if text is None:
        return None
    id = parse_decimal(str(text))
    if id is None:
        message = "Validation failed: `last_read_id` is no id"
        raise RequestRefused(422, "invalid-body", message)
    return id


def _entity(marker: TimelineMarker) -> MarkerEntity:
    return {
        "last_read_id": str(marker.last_read),
        "version": marker.version,
        "updated_at": rfc3339(marker.updated_ms),
    }
