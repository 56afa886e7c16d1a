"""Ids for new events, on a real data folder."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from events.ids.snowflake import (
    IMPORT_MACHINES,
    TICKET_MACHINES,
    MachineIdLost,
    compose_id,
    decode_id,
)
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import UserRegistered
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from infra.wiring.id_sources import open_import_ids, open_live_ids

IMPORTER = IMPORT_MACHINES.start


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
def log(settings: Settings) -> Iterator[SqliteLog]:
    settings.data.mkdir()
    log = SqliteLog(settings.log_path)
    yield log
    log.close()


async def append(log: SqliteLog, id: int) -> None:
    event = NewEvent(id, UserRegistered(id, f"u{id}", "U"))
    await log.append(AppendRequest((StreamAppend(f"user-{id}", 0, (event,)),), 1, id, id))


async def test_new_ids_come_after_the_newest_in_the_log(settings: Settings, log: SqliteLog) -> None:
    soon = compose_id(clock_ms() + 300, 7, 5)
    await append(log, soon)
    with open_live_ids(settings, log) as new_id:
        assert new_id() > soon


async def test_ids_by_tickets_and_snowflakes_of_one_folder_have_machine_ids_of_their_own(
    settings: Settings, log: SqliteLog
) -> None:
    by_tickets = settings.model_copy(update={"ids": "tickets"})
    await append(log, compose_id(clock_ms() + 300, 7, 5))
    newest, made = log.newest_id(), []
    for chosen in (by_tickets, settings, by_tickets):
        with open_live_ids(chosen, log) as new_id:
            made.append(new_id())
    assert min(made) > newest
    assert [decode_id(id).machine in TICKET_MACHINES for id in made] == [True, False, True]


async def test_imports_in_the_future_delay_no_new_id(settings: Settings, log: SqliteLog) -> None:
    next_year = clock_ms() + 365 * 24 * 3_600_000
    for later in range(3):
        await append(log, compose_id(next_year + later, IMPORTER, 0))
    with open_live_ids(settings, log) as new_id:
        assert decode_id(new_id()).ms < next_year


async def test_ids_at_given_times_are_new_though_the_log_holds_some(
    settings: Settings, log: SqliteLog
) -> None:
    made = []
    for _ in range(2):
        with open_import_ids(settings, log) as id_at:
            made.append(id_at(1_400_000_000_123))
        await append(log, made[-1])
    assert made == [compose_id(1_400_000_000_123, IMPORTER, n) for n in range(2)]


def test_too_many_imports_at_once_are_refused_as_ids_that_cannot_be_had(
    settings: Settings, log: SqliteLog
) -> None:
    with ExitStack() as stack:
        for _ in IMPORT_MACHINES:
            stack.enter_context(open_import_ids(settings, log))
        with pytest.raises(MachineIdLost, match="all held"), open_import_ids(settings, log):
            pass
