"""Joining, where one request is on its way twice."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from api.accounts import Accounts, EmailTaken
from api.passwords import Passwords
from api.signing import Signing
from commands import keys
from commands.handle import Handler, Outcome, Request
from commands.lines import Credentials
from commands.references import References
from commands.user import Register
from events.log import EventLog
from events.snowflake import first_id_at
from infra.accounts.sqlite import SqliteAccounts
from infra.logs.memory import MemoryLog

NOON = 1_770_000_000_000
HERS = Credentials("ada@example.org", "a long password")


class Desk(NamedTuple):
    """What signing needs."""

    log: EventLog
    handler: Handler
    references: References
    accounts: Accounts
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]


@pytest.fixture
def desk() -> Iterator[Desk]:
    log, accounts = MemoryLog(), SqliteAccounts(":memory:")
    ids = itertools.count(first_id_at(NOON))

    def new_id() -> int:
        return next(ids)

    yield Desk(log, Handler(log, new_id), References(log), accounts, lambda: NOON, new_id)
    accounts.close()
    log.close()


class Overtaken(Passwords):
    """Hashes slowly: meanwhile something else happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def hash(self, password: str) -> str:
        await self._meanwhile()
        return await super().hash(password)


def registration(handle: str, key: str) -> Request:
    command = Register(handle, "Ada")
    return Request(command, 0, keys.of_registration(key, command))


async def test_a_registration_that_overtakes_itself_is_answered_the_same(desk: Desk) -> None:
    request = registration("ada", "k")
    first: list[Outcome] = []

    async def sent_again() -> None:
        first.append(await Signing(desk, Passwords()).join(request, HERS))

    slow = await Signing(desk, Overtaken(sent_again)).join(request, HERS)
    assert slow.repeated
    assert [slow.id] == [outcome.id for outcome in first]
    assert desk.log.head() == 2
    assert await desk.accounts.of(slow.id)


async def test_an_email_that_another_request_takes_meanwhile_is_refused(desk: Desk) -> None:
    async def somebody_else() -> None:
        await Signing(desk, Passwords()).join(registration("eve", "another"), HERS)

    with pytest.raises(EmailTaken):
        await Signing(desk, Overtaken(somebody_else)).join(registration("ada", "k"), HERS)
