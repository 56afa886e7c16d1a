"""How far a view is behind, as an operator is told."""

import pytest

from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import Event, UserMuted, UserRegistered
from infra.in_memory.event_log import MemoryLog
from projections.profiles import ProfilesProjection
from streams.rebuild.status import status_of


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
    status = status_of(await log_with(WREN, MUTED), ProfilesProjection(), None)
    assert (status.position, status.lag, status.state) == (0, 2, "absent")


async def test_a_view_of_everything_is_current() -> None:
    status = status_of(await log_with(WREN), ProfilesProjection(), 1)
    assert (status.name, status.position, status.lag, status.state) == ("profiles", 1, 0, "current")


@pytest.mark.parametrize("events", [(WREN, MUTED), (WREN, MUTED, MUTED)])
async def test_events_of_other_types_are_no_lag(events: tuple[Event, ...]) -> None:
    status = status_of(await log_with(*events), ProfilesProjection(), 1)
    assert (status.position, status.lag, status.state) == (len(events), 0, "current")


async def test_events_of_its_types_are_lag() -> None:
    status = status_of(await log_with(WREN, MUTED, WREN), ProfilesProjection(), 1)
    assert (status.position, status.lag, status.state) == (1, 2, "behind")


async def test_an_empty_log_has_no_lag() -> None:
    assert status_of(await log_with(), ProfilesProjection(), 0).state == "current"
