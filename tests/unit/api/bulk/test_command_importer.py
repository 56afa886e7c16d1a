"""Lines of commands, each answered, whatever becomes of the others."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.accounts.account_store import AccountRecord
from api.accounts.errors import AccountsUnavailable
from api.bulk.command_importer import CommandImporter
from api.schemas import LineResponse
from api.v1.bulk import line_response
from commands.handler import CommandHandler
from commands.import_line import Credentials
from commands.request import CommandOutcome, CommandRequest
from events.ids.snowflake import MachineIdLost, first_id_at, time_ms
from events.log import LogUnavailable
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.accounts import SqliteAccounts

MAY_2020 = 1_588_291_200_000


class ImportSetup:
    """Imports over a log in memory, and what they did around it."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.accounts = SqliteAccounts(":memory:")
        self.registrations: list[tuple[CommandRequest, Credentials]] = []
        self.leases = 0
        self.no_lease = False
        ids = itertools.count(first_id_at(MAY_2020))
        self.handler = CommandHandler(self.log, lambda: next(ids))
        self.imports = CommandImporter(
            self.log,
            self.handler,
            self.accounts,
            self.register_account,
            self.lease_import_ids,
            lambda: MAY_2020,
        )

    async def register_account(
        self, request: CommandRequest, credentials: Credentials
    ) -> CommandOutcome:
        self.registrations.append((request, credentials))
        outcome = await self.handler.handle(request)
        await self.accounts.put(
            AccountRecord(outcome.id, credentials.email, credentials.password, 0)
        )
        return outcome

    @contextmanager
    def lease_import_ids(self) -> Iterator[Callable[[int], int]]:
        if self.no_lease:
            raise MachineIdLost("all machine ids for imports are held")
        self.leases += 1
        sequence = itertools.count()
        yield lambda unix_ms: first_id_at(unix_ms) + next(sequence)

    async def import_lines(self, *lines: dict[str, Any] | bytes) -> list[LineResponse]:
        raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        results = await self.imports.run_lines(raw)
        return [line_response(result, number) for number, result in enumerate(results, 1)]


@pytest.fixture
def import_setup() -> Iterator[ImportSetup]:
    import_setup = ImportSetup()
    yield import_setup
    import_setup.accounts.close()
    import_setup.log.close()


def register(handle: str, **data: str) -> dict[str, Any]:
    data = {"handle": handle, "name": handle.title(), **data}
    return {"command": "register", "key": f"user {handle}", "data": data}


def post(handle: str, key: str, text: str = "hello") -> dict[str, Any]:
    return {"command": "post", "as": f"@{handle}", "key": key, "data": {"text": text}}


async def test_a_line_sees_what_the_lines_before_it_made(import_setup: ImportSetup) -> None:
    like = {"command": "like", "as": "@wren", "key": "l", "data": {"post": "key:p"}}
    results = await import_setup.import_lines(register("wren"), post("wren", "p"), like)
    assert [result.status for result in results] == [201, 201, 200]
    assert results[2].id == results[1].id
    assert [result.key for result in results] == ["user wren", "p", "l"]


async def test_positions_are_those_of_the_log(import_setup: ImportSetup) -> None:
    results = await import_setup.import_lines(register("wren"), post("wren", "p"))
    assert [int(str(result.position)) for result in results][-1] == import_setup.log.head()


async def test_lines_sent_again_make_nothing_and_get_the_same_answers(
    import_setup: ImportSetup,
) -> None:
    lines = register("wren"), post("wren", "p"), register("heron", password="secret sauce")
    first = await import_setup.import_lines(*lines)
    head = import_setup.log.head()
    assert await import_setup.import_lines(*lines) == first
    assert import_setup.log.head() == head


async def test_a_bad_line_stops_none_after_it(import_setup: ImportSetup) -> None:
    results = await import_setup.import_lines(
        b"no json",
        b'{"command": "fly", "key": "k1"}',
        b'{"command": "post", "key": "k2", "data": {"text": "x", "colour": "red"}}',
        b'{"command": "register", "key": "k3", "data": {"handle": "w"}}',
        b'{"command": "post", "as": "@absent", "key": "k4", "data": {"text": "x"}}',
        b"\xff\xfe",
        register("wren"),
    )
    assert [result.status for result in results] == [422, 422, 422, 422, 404, 422, 201]
    assert [result.key for result in results[:6]] == [None, "k1", "k2", "k3", "k4", None]
    for result in results[:6]:
        assert result.problem
        assert result.problem.detail
        assert not result.id


async def test_a_key_with_another_body_is_refused(import_setup: ImportSetup) -> None:
    await import_setup.import_lines(register("wren"), post("wren", "p", "one"))
    (result,) = await import_setup.import_lines(post("wren", "p", "other"))
    assert result.status == 422
    assert result.problem
    assert result.problem.type == "/problems/key-reused"


async def test_only_lines_with_credentials_register_an_account(import_setup: ImportSetup) -> None:
    results = await import_setup.import_lines(
        register("wren"), register("heron", email="h@example.org", password="secret sauce")
    )
    assert [result.status for result in results] == [201, 201]
    assert len(import_setup.registrations) == 1
    account = await import_setup.accounts.get(int(str(results[1].id)))
    assert account
    assert account.email == "h@example.org"
    assert await import_setup.accounts.get(int(str(results[0].id))) is None


async def test_registrations_keep_their_place_in_the_order(import_setup: ImportSetup) -> None:
    results = await import_setup.import_lines(
        register("wren"),
        post("heron", "too early"),
        register("heron", password="secret sauce"),
        post("heron", "in time"),
    )
    assert [result.status for result in results] == [201, 404, 201, 201]


async def test_of_two_who_want_one_handle_the_first_line_gets_it(import_setup: ImportSetup) -> None:
    second = register("WREN", email="other@example.org", password="secret sauce") | {"key": "2nd"}
    results = await import_setup.import_lines(
        register("heron", password="secret sauce"),
        register("wren", email="w@example.org", password="secret sauce"),
        second,
    )
    assert [result.status for result in results] == [201, 201, 409]
    account = await import_setup.accounts.get(int(str(results[1].id)))
    assert account
    assert account.email == "w@example.org"


async def test_many_accounts_are_registered_in_one_call(import_setup: ImportSetup) -> None:
    lines = [register(f"bird_{n}", email=f"b{n}@example.org") for n in range(200)]
    results = await import_setup.import_lines(*lines, post("bird_199", "p"))
    assert {result.status for result in results} == {201}
    assert len({result.id for result in results}) == 201


async def test_deleting_an_account_erases_what_it_signed_in_with(import_setup: ImportSetup) -> None:
    (joined,) = await import_setup.import_lines(
        register("heron", email="h@example.org", password="secret sauce")
    )
    delete = {"command": "delete_account", "as": "@heron", "key": "d"}
    (deleted,) = await import_setup.import_lines(delete)
    assert deleted.status == 200
    assert await import_setup.accounts.get(int(str(joined.id))) is None


async def test_a_failed_erasure_is_repeated_when_the_line_is_sent_again(
    import_setup: ImportSetup,
) -> None:
    (joined,) = await import_setup.import_lines(
        register("heron", email="h@example.org", password="secret sauce")
    )
    delete = {"command": "delete_account", "as": "@heron", "key": "d"}
    erase = import_setup.accounts.remove

    async def down(user: int) -> None:
        raise AccountsUnavailable("the disk is full")

    import_setup.accounts.remove = down  # type: ignore[method-assign]
    (result,) = await import_setup.import_lines(delete)
    assert result.status == 503
    import_setup.accounts.remove = erase  # type: ignore[method-assign]
    (result,) = await import_setup.import_lines(delete)
    assert result.status == 200
    assert await import_setup.accounts.get(int(str(joined.id))) is None


async def test_a_line_with_a_time_gets_an_id_of_that_time(import_setup: ImportSetup) -> None:
    at = {"at": "2012-06-01T12:00:00.250Z"}
    results = await import_setup.import_lines(register("wren") | at, post("wren", "p") | at)
    assert [time_ms(int(str(result.id))) for result in results] == [1338552000250] * 2
    assert import_setup.leases == 1


async def test_lines_without_a_time_take_no_lease(import_setup: ImportSetup) -> None:
    await import_setup.import_lines(register("wren"), post("wren", "p"))
    assert import_setup.leases == 0


async def test_without_a_machine_id_for_imports_lines_may_be_sent_again(
    import_setup: ImportSetup,
) -> None:
    import_setup.no_lease = True
    line = register("wren") | {"at": "2012-06-01T12:00:00Z"}
    results = await import_setup.import_lines(line, b"no json")
    assert [result.status for result in results] == [503, 422]
    import_setup.no_lease = False
    assert [result.status for result in await import_setup.import_lines(line)] == [201]


async def test_a_log_that_fails_answers_every_open_line(
    import_setup: ImportSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(append: object) -> None:
        raise LogUnavailable("the disk is full")

    monkeypatch.setattr(import_setup.log, "append", down)
    results = await import_setup.import_lines(register("wren"), b"no json", post("wren", "p"))
    assert [result.status for result in results] == [503, 422, 503]


async def test_no_lines_are_no_answers(import_setup: ImportSetup) -> None:
    assert await import_setup.import_lines() == []
