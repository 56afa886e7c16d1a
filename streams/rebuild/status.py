"""How far a read model is behind the log."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from events.event_types import EVENT_TYPES
from events.log import EventLog
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import CurrentStores, OldSchema, ReadStore, StoreUnavailable, ViewAbsent
from streams.projecting.dead_letters import read_dead_letters
from streams.rebuild.rebuild_record import RebuildRecord

ProjectionState = Literal["current", "behind", "paused", "outdated", "absent"]


MAX_COUNTED_LETTERS: Final = 1000
"""Dead letters of a projection that are counted for health and metrics."""
COUNT_SECONDS: Final = 1.0
"""How long all views together may take to answer that."""


class ProjectionStatus(NamedTuple):
    """How far a projection is: `lag` events of the log are not in its view yet,
    about so many where positions have holes.

    `version` is the view's, which is older than the program's while a newer one is being made.
    An `outdated` view was made with other tables than the program's: the program can't apply events
    to it, and it serves the queries that it can until it is rebuilt. `rebuild` says how far a
    rebuild is; it is empty where there is none. `partitions` are the lags in each partition of the
    feed, by their numbers, where there is one. `skips` are the positions of the events that it
    leaves out.
    """

    name: str
    version: int
    position: int
    lag: int
    state: ProjectionState
    dead_letters: int = 0
    skips: tuple[int, ...] = ()
    rebuild: str = ""
    partitions: tuple[int, ...] = ()


async def count_dead_letters(views: CurrentStores) -> dict[str, int]:
    """The dead letters of each projection that has any, up to `MAX_COUNTED_LETTERS` of each.

    A view that is not there yet has none. Raises `StoreUnavailable` where a view can't be asked, or
    does not answer within `COUNT_SECONDS`.
    """
    stores: dict[str, ReadStore] = {}
    for projection in ALL_PROJECTIONS:
        with suppress(ViewAbsent):
            stores[projection.name] = views.current_store(projection.name)
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            found = await asyncio.gather(*map(_count_in_view, stores.values()))
    except TimeoutError as error:
        raise StoreUnavailable(f"the views did not answer within {COUNT_SECONDS:g} s") from error
    return {name: count for name, count in zip(stores, found, strict=True) if count}


async def _count_in_view(store: ReadStore) -> int:
    with suppress(OldSchema):  # a view of before there were dead letters
        return len(await read_dead_letters(store, MAX_COUNTED_LETTERS))
    return 0


def status_of(
    log: EventLog,
    projection: Projection,
    stored: int | None,
    paused: bool = False,
    skips: Collection[int] = (),
) -> ProjectionStatus:
    """The status of a projection whose view is stored up to a position; None for no view.

    A store keeps the position of the last event that changed it. Where none that the projection
    takes came after that, those that it skips left out, its view is as current as the log's head.
    """
    head = log.head()
    position = 0 if stored is None else stored
    if stored is not None and (shows := shown_up_to(log, projection, stored, skips)) >= head:
        position = shows
    lag = log.features.estimate_events(position, head)
    state: ProjectionState = "current"
    if stored is None:
        state = "absent"
    elif paused:
        state = "paused"
    elif lag:
        state = "behind"
    return ProjectionStatus(
        projection.name, projection.version, position, lag, state, skips=tuple(sorted(skips))
    )


def shown_up_to(
    log: EventLog, projection: Projection, stored: int, skips: Collection[int] = ()
) -> int:
    """Up to where a view that is stored up to a position shows all that its projection takes: the
    log's head, or where it is stored."""
    head = log.head()
    types = [EVENT_TYPES[event][0] for event in projection.event_types]
    skipped_later = sum(position > stored for position in skips)
    coming = log.read_all(stored, types=types, until=head, limit=skipped_later + 1)
    awaited = next((event.position for event in coming if event.position not in skips), None)
    return max(head, stored) if awaited is None else stored


def describe_rebuild(build: RebuildRecord | None) -> str:
    """A rebuild in a few words."""
    if build is None:
        return ""
    if build.state == "failed":
        return f"failed: {build.problem}"
    if build.state != "loading" or not build.head:
        return build.state
    return f"{build.state}, {100 * build.position // build.head} %"
