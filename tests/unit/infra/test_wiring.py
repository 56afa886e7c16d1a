"""What infra.wiring assembles for commands, opened on a real data folder."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from commands.request import CommandRequest
from commands.user import Register
from events.ids.snowflake import (
    IMPORT_MACHINES,
    TICKET_MACHINES,
    MachineIdLost,
    compose_id,
    decode_id,
)
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import UserRegistered
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import InvalidSetting, Settings
from infra.sqlite.event_log import SqliteLog
from infra.wiring import open_import_ids, open_live_ids, open_write_side, signing_secret

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


async def test_a_folder_that_is_not_there_is_made(settings: Settings) -> None:
    with open_write_side(settings) as side:
        outcome = await side.handler.handle(CommandRequest(Register("wren", "Wren"), 0))
        assert side.references.user_id("@wren") == outcome.id
    with open_log(settings) as log:
        assert log.head() == outcome.position


@pytest.mark.parametrize("address", ["esdb://", "esdb://host:99999", "esdb://host?colour=red"])
def test_the_address_of_a_log_that_cannot_be_meant_is_refused(
    settings: Settings, address: str
) -> None:
    elsewhere = Settings(data=settings.data, log=address)
    with pytest.raises(InvalidSetting, match="STARLING_LOG"), open_log(elsewhere):
        pass


def test_machines_that_share_a_log_need_a_secret_of_their_own_choice(settings: Settings) -> None:
    shared = Settings(
        data=settings.data, log="esdb://localhost:2113", views="mongodb://localhost/starling"
    )
    with pytest.raises(InvalidSetting, match="STARLING_SECRET"):
        signing_secret(shared)
    assert signing_secret(shared.model_copy(update={"secret": "x" * 32})) == b"x" * 32


def test_the_secret_is_made_once_and_readable_by_its_owner_alone(settings: Settings) -> None:
    secret = signing_secret(settings)
    assert signing_secret(settings) == secret
    assert len(secret) >= 32
    assert stat.S_IMODE((settings.data / "secret").stat().st_mode) == 0o600
    assert [path.name for path in settings.data.iterdir()] == ["secret"]


def test_concurrent_processes_get_the_same_secret(settings: Settings) -> None:
    with ThreadPoolExecutor(16) as threads:
        secrets = set(threads.map(signing_secret, [settings] * 64))
    assert len(secrets) == 1


def test_a_secret_in_the_settings_wins_and_makes_no_file(settings: Settings) -> None:
    chosen = Settings(data=settings.data, secret="a secret of the operator's")
    assert signing_secret(chosen) == b"a secret of the operator's"
    assert not settings.data.exists()


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
