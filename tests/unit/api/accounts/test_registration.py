"""Joining, where one request is on its way twice."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest
from argon2 import PasswordHasher

from api.accounts.account_store import AccountStore
from api.accounts.errors import EmailTaken, WrongCredentials
from api.accounts.hashing_queue import ANY_CALLER, HashCaller
from api.accounts.passwords import BoundedPasswordHasher
from api.accounts.registration import AccountRegistrar
from api.accounts.throttle import LoginThrottle
from api.schemas import SignIn
from commands import idempotency
from commands.errors import StateConflict
from commands.handler import CommandHandler
from commands.import_line import Credentials
from commands.references import ReferenceResolver
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events.ids.snowflake import first_id_at
from events.log import EventLog
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.accounts import SqliteAccounts

NOON = 1_770_000_000_000
HERS = Credentials("ada@example.org", "a long password")


class RegistrationPorts(NamedTuple):
    """What signing needs."""

    log: EventLog
    handler: CommandHandler
    references: ReferenceResolver
    accounts: AccountStore
    throttle: LoginThrottle
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]


@pytest.fixture
def ports() -> Iterator[RegistrationPorts]:
    log, accounts = MemoryLog(), SqliteAccounts(":memory:")
    ids = itertools.count(first_id_at(NOON))

    def new_id() -> int:
        return next(ids)

    yield RegistrationPorts(
        log=log,
        handler=CommandHandler(log, new_id),
        references=ReferenceResolver(log),
        accounts=accounts,
        throttle=LoginThrottle(None),
        clock_ms=lambda: NOON,
        new_id=new_id,
    )
    accounts.close()
    log.close()


class SlowHashing(BoundedPasswordHasher):
    """Hashes slowly: meanwhile something else happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def hash(self, password: str, caller: HashCaller = ANY_CALLER) -> str:
        await self._meanwhile()
        return await super().hash(password, caller)


def registration(handle: str, key: str) -> CommandRequest:
    command = Register(handle, "Ada")
    return CommandRequest(command, 0, idempotency.key_for_registration(key, command))


async def test_a_registration_that_overtakes_itself_is_answered_the_same(
    ports: RegistrationPorts,
) -> None:
    request = registration("ada", "k")
    first: list[CommandOutcome] = []

    async def sent_again() -> None:
        first.append(
            await AccountRegistrar(ports, BoundedPasswordHasher()).register_account(request, HERS)
        )

    slow = await AccountRegistrar(ports, SlowHashing(sent_again)).register_account(request, HERS)
    assert slow.replayed
    assert [slow.id] == [outcome.id for outcome in first]
    assert ports.log.head() == 2
    assert await ports.accounts.get(slow.id)


async def test_an_email_that_another_request_takes_meanwhile_is_refused(
    ports: RegistrationPorts,
) -> None:
    async def another_client() -> None:
        await AccountRegistrar(ports, BoundedPasswordHasher()).register_account(
            registration("eve", "another"), HERS
        )

    with pytest.raises(EmailTaken):
        await AccountRegistrar(ports, SlowHashing(another_client)).register_account(
            registration("ada", "k"), HERS
        )


class SlowChecking(BoundedPasswordHasher):
    """Checks passwords slowly: meanwhile something else happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def matches(
        self, password_hash: str | None, password: str, caller: HashCaller = ANY_CALLER
    ) -> bool:
        await self._meanwhile()
        return await super().matches(password_hash, password, caller)


class DelayedHandler(CommandHandler):
    """Appends when it is let."""

    def __init__(self, ports: RegistrationPorts) -> None:
        super().__init__(ports.log, ports.new_id)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def handle(self, request: CommandRequest) -> CommandOutcome:
        self.asked.set()
        await self.go_on.wait()
        return await super().handle(request)


async def test_a_form_sent_twice_at_once_leaves_an_account_that_can_sign_in(
    ports: RegistrationPorts,
) -> None:
    """The second takes the first's account, whose user is about to be appended, for an orphan."""
    handler = DelayedHandler(ports)
    first = asyncio.create_task(
        AccountRegistrar(ports._replace(handler=handler), BoundedPasswordHasher()).register_account(
            CommandRequest(Register("ada", "Ada"), 0), HERS
        )
    )
    await handler.asked.wait()

    async def the_first_goes_on() -> None:
        handler.go_on.set()
        await first

    second = AccountRegistrar(ports, SlowChecking(the_first_goes_on))
    with pytest.raises(EmailTaken):
        await second.register_account(CommandRequest(Register("ada", "Ada"), 0), HERS)
    assert await ports.accounts.get((await first).id)


async def test_an_account_taken_before_its_user_is_appended_comes_back(
    ports: RegistrationPorts,
) -> None:
    handler = DelayedHandler(ports)
    first = asyncio.create_task(
        AccountRegistrar(ports._replace(handler=handler), BoundedPasswordHasher()).register_account(
            CommandRequest(Register("ada", "Ada"), 0), HERS
        )
    )
    await handler.asked.wait()
    taker = DelayedHandler(ports)
    second = asyncio.create_task(
        AccountRegistrar(ports._replace(handler=taker), BoundedPasswordHasher()).register_account(
            CommandRequest(Register("ada", "Ada"), 0), HERS
        )
    )
    await taker.asked.wait()
    handler.go_on.set()
    outcome = await first
    taker.go_on.set()
    with pytest.raises(StateConflict):
        await second
    account = await ports.accounts.find_by_email("ada@example.org")
    assert account is not None
    assert account.user == outcome.id


async def sign_up_with_weak_hash(ports: RegistrationPorts) -> tuple[int, str]:
    """The user and the hash of an account made when hashes were cheaper."""
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    registrar = AccountRegistrar(ports, BoundedPasswordHasher(weak))
    user = (await registrar.register_account(registration("ada", "k"), HERS)).id
    account = await ports.accounts.get(user)
    assert account is not None
    assert account.password_hash is not None
    return user, account.password_hash


async def same_user(user: int) -> int:
    """The session of a test."""
    return user


async def test_no_session_begins_while_the_password_is_changed(ports: RegistrationPorts) -> None:
    user, checked = await sign_up_with_weak_hash(ports)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    registrar = AccountRegistrar(ports, BoundedPasswordHasher(weak))
    begun = []

    async def begin_late(user: int) -> None:
        await ports.accounts.change_password(user, checked, "$argon2id$another", None)
        begun.append(user)

    sign_in = SignIn(handle="ada", password="a long password")
    with pytest.raises(WrongCredentials, match="changed just now"):
        await registrar.sign_in(sign_in, HashCaller("10.0.0.1"), begin_late)
    assert begun == [user]


async def test_two_sign_ins_at_once_renew_a_hash_once(ports: RegistrationPorts) -> None:
    user, _ = await sign_up_with_weak_hash(ports)
    registrar = AccountRegistrar(ports, BoundedPasswordHasher())
    sign_in, caller = SignIn(handle="ada", password="a long password"), HashCaller("10.0.0.1")
    both = (registrar.sign_in(sign_in, caller, same_user) for _ in range(2))
    assert await asyncio.gather(*both) == [user, user]


async def test_the_right_password_replaces_a_hash_with_older_parameters(
    ports: RegistrationPorts,
) -> None:
    user, weak = await sign_up_with_weak_hash(ports)
    registrar = AccountRegistrar(ports, BoundedPasswordHasher())
    sign_in = SignIn(handle="ada", password="a long password")
    assert await registrar.sign_in(sign_in, HashCaller("10.0.0.1"), same_user) == user
    account = await ports.accounts.get(user)
    assert account is not None
    assert account.password_hash != weak
    assert not PasswordHasher().check_needs_rehash(account.password_hash or "")
    sign_in = SignIn(handle="ada", password="a long password")
    assert await registrar.sign_in(sign_in, HashCaller("10.0.0.1"), same_user) == user
    assert await ports.accounts.get(user) == account


async def test_a_wrong_password_replaces_no_hash(ports: RegistrationPorts) -> None:
    user, weak = await sign_up_with_weak_hash(ports)
    registrar = AccountRegistrar(ports, BoundedPasswordHasher())
    with pytest.raises(WrongCredentials):
        await registrar.sign_in(
            SignIn(handle="ada", password="a long passwort"), HashCaller("10.0.0.1"), same_user
        )
    account = await ports.accounts.get(user)
    assert account is not None
    assert account.password_hash == weak
