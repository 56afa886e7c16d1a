"""Joining, where one request is on its way twice."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from api.accounts import Accounts, EmailTaken
from api.passwords import Passwords
from api.signing import Signing
from commands import keys
from commands.errors import Conflict
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


class Doubting(Passwords):
    """Checks passwords slowly: meanwhile something else happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def matches(self, kept: str | None, password: str) -> bool:
        await self._meanwhile()
        return await super().matches(kept, password)


class Waiting(Handler):
    """Appends when it is let."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.log, desk.new_id)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def handle(self, request: Request) -> Outcome:
        self.asked.set()
        await self.go_on.wait()
        return await super().handle(request)


async def test_a_form_sent_twice_at_once_leaves_somebody_who_can_sign_in(desk: Desk) -> None:
    """The second takes the first's account, whose user is about to be appended, for an orphan."""
    handler = Waiting(desk)
    first = asyncio.create_task(
        Signing(desk._replace(handler=handler), Passwords()).join(
            Request(Register("ada", "Ada"), 0), HERS
        )
    )
    await handler.asked.wait()

    async def the_first_goes_on() -> None:
        handler.go_on.set()
        await first

    second = Signing(desk, Doubting(the_first_goes_on))
    with pytest.raises(EmailTaken):
        await second.join(Request(Register("ada", "Ada"), 0), HERS)
    assert await desk.accounts.of((await first).id)


async def test_an_account_taken_before_its_user_is_appended_comes_back(desk: Desk) -> None:
    handler = Waiting(desk)
    first = asyncio.create_task(
        Signing(desk._replace(handler=handler), Passwords()).join(
            Request(Register("ada", "Ada"), 0), HERS
        )
    )
    await handler.asked.wait()
    taker = Waiting(desk)
    second = asyncio.create_task(
        Signing(desk._replace(handler=taker), Passwords()).join(
            Request(Register("ada", "Ada"), 0), HERS
        )
    )
    await taker.asked.wait()
    handler.go_on.set()
    outcome = await first
    taker.go_on.set()
    with pytest.raises(Conflict):
        await second
    account = await desk.accounts.with_email("ada@example.org")
    assert account is not None
    assert account.user == outcome.id
