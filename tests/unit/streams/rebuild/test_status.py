"""How far a view is behind, as an operator is told."""

import asyncio
from typing import Any

import pytest

from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import Event, UserMuted, UserRegistered
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.profiles import ProfilesProjection
from projections.store import ReadStore, StoreError, StoreUnavailable, ViewAbsent
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild import status
from streams.rebuild.status import count_dead_letters, status_of


async def log_with(*events: Event) -> MemoryLog:
    log = MemoryLog()
    for id, event in enumerate(events, start=1):
        await log.append(
            AppendRequest((StreamAppend(f"test-{id}", 0, (NewEvent(id, event),)),), 1, id, id)
        )
    return log


WREN = UserRegistered(1, "wren", "Wren")
MUTED = UserMuted(1, 2)  # nothing that profiles take


async def test_a_missing_view_is_absent_and_lags_by_the_whole_log() -> None:
    found = status_of(await log_with(WREN, MUTED), ProfilesProjection(), None)
    assert (found.position, found.lag, found.state) == (0, 2, "absent")


async def test_a_view_of_everything_is_current() -> None:
    found = status_of(await log_with(WREN), ProfilesProjection(), 1)
    assert (found.name, found.position, found.lag, found.state) == ("profiles", 1, 0, "current")


@pytest.mark.parametrize("events", [(WREN, MUTED), (WREN, MUTED, MUTED)])
async def test_events_of_other_types_are_no_lag(events: tuple[Event, ...]) -> None:
    found = status_of(await log_with(*events), ProfilesProjection(), 1)
    assert (found.position, found.lag, found.state) == (len(events), 0, "current")


async def test_events_of_its_types_are_lag() -> None:
    found = status_of(await log_with(WREN, MUTED, WREN), ProfilesProjection(), 1)
    assert (found.position, found.lag, found.state) == (1, 2, "behind")


async def test_skipped_events_are_no_lag() -> None:
    log = await log_with(WREN, WREN, MUTED, WREN)
    status = status_of(log, ProfilesProjection(), 1, skips={4, 2})
    assert (status.position, status.lag, status.state, status.skips) == (4, 0, "current", (2, 4))
    status = status_of(log, ProfilesProjection(), 1, skips={2})
    assert (status.position, status.lag, status.state) == (1, 3, "behind")


async def test_an_empty_log_has_no_lag() -> None:
    assert status_of(await log_with(), ProfilesProjection(), 0).state == "current"


class SilentStore(MemoryReadStore):
    """A view in a database that does not answer."""

    async def scan(self, *_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)


class AlikeViews:
    """Current views of which each is the same store, or the same error."""

    def __init__(self, store: ReadStore | StoreError) -> None:
        self._store = store

    def current_store(self, projection: str) -> ReadStore:
        if isinstance(self._store, StoreError):
            raise self._store
        return self._store

    def known_position(self, projection: str) -> int:
        return 0


async def test_a_view_that_is_not_there_yet_has_no_dead_letters() -> None:
    assert await count_dead_letters(AlikeViews(ViewAbsent("not built yet"))) == {}


async def test_a_database_that_is_down_is_not_taken_for_a_view_that_is_not_there() -> None:
    with pytest.raises(StoreUnavailable, match="no answer"):
        await count_dead_letters(AlikeViews(StoreUnavailable("no answer")))


async def test_views_that_do_not_answer_are_an_error_after_one_time_limit_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status, "COUNT_SECONDS", 0.1)
    store = SilentStore(tables_with_dead_letters(ProfilesProjection()))
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await count_dead_letters(AlikeViews(store))
