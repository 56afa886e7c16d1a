"""How far a view is behind, as an operator is told."""

import pytest

from events.log import Append, NewEvent, Write
from events.schema import Event, UserMuted, UserRegistered
from infra.logs.memory import MemoryLog
from projections.profiles import Profiles
from streams.lag import standing


async def log_with(*events: Event) -> MemoryLog:
    log = MemoryLog()
    for id, event in enumerate(events, start=1):
        await log.append(Append((Write(f"test-{id}", 0, (NewEvent(id, event),)),), 1, id, id))
    return log


WREN = UserRegistered(1, "wren", "Wren")
MUTED = UserMuted(1, 2)  # nothing that profiles take


async def test_no_view_is_absent_and_all_of_the_log_behind() -> None:
    told = standing(await log_with(WREN, MUTED), Profiles(), None)
    assert (told.position, told.lag, told.state) == (0, 2, "absent")


async def test_a_view_of_everything_is_current() -> None:
    told = standing(await log_with(WREN), Profiles(), 1)
    assert (told.name, told.position, told.lag, told.state) == ("profiles", 1, 0, "current")


@pytest.mark.parametrize("events", [(WREN, MUTED), (WREN, MUTED, MUTED)])
async def test_what_a_projection_does_not_take_is_no_lag(events: tuple[Event, ...]) -> None:
    told = standing(await log_with(*events), Profiles(), 1)
    assert (told.position, told.lag, told.state) == (len(events), 0, "current")


async def test_what_it_takes_is_lag() -> None:
    told = standing(await log_with(WREN, MUTED, WREN), Profiles(), 1)
    assert (told.position, told.lag, told.state) == (1, 2, "behind")


async def test_an_empty_log_leaves_nobody_behind() -> None:
    assert standing(await log_with(), Profiles(), 0).state == "current"
