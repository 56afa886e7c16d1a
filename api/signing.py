"""Joining and signing in: where accounts, passwords and the log come together."""

from collections.abc import Callable
from itertools import chain
from typing import Final, Protocol

import msgspec
from msgspec import UNSET

from api.accounts import Account, Accounts, EmailTaken
from api.auth import unauthorized
from api.errors import Refused
from api.passwords import Passwords
from api.schemas import Email, Password, ProfilePatch, SignIn
from api.throttle import Throttle
from commands.errors import Invalid, NotFound, Rejected
from commands.facts import STANDING, Standing
from commands.handle import Handler, Outcome, Request
from commands.lines import Credentials
from commands.references import References
from commands.sight import Sight
from events import streams
from events.log import EventLog

ORPHAN_MS: Final = 60_000
"""An account without a user that is older than this was left by a crash: its email is free."""


class Registry(Protocol):
    """What signing needs of the ports; whatever else writes (an import) has it too."""

    @property
    def log(self) -> EventLog: ...
    @property
    def handler(self) -> Handler: ...
    @property
    def references(self) -> References: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def clock_ms(self) -> Callable[[], int]: ...
    @property
    def new_id(self) -> Callable[[], int]: ...


class Signing:
    """Makes accounts and checks passwords."""

    def __init__(self, ports: Registry, passwords: Passwords) -> None:
        self._ports = ports
        self._passwords = passwords
        self._throttle = Throttle(ports.clock_ms)

    async def join(self, request: Request, credentials: Credentials) -> Outcome:
        """Do a registration whose user can sign in.

        The account is kept first and the user appended then: after a crash in between, nobody is
        registered, and the account is an orphan that gives way. Raises `Rejected`, `Refused`,
        `EmailTaken`, and what log and accounts raise.
        """
        email, password = _checked(credentials)
        if request.key is not None and self._ports.log.remembered(request.key.name) is not None:
            return await self._again(await self._ports.handler.handle(request), credentials)
        kept = await self._passwords.hash(password) if password is not None else None
        ids = request.ids or self._ports.new_id
        user = ids()
        account = Account(user, email, kept, self._ports.clock_ms())
        try:
            await self._keep(account, password)
        except EmailTaken:
            # Perhaps by this same request, sent again while it was on its way elsewhere.
            if request.key is None or self._ports.log.remembered(request.key.name) is None:
                raise
            return await self._again(await self._ports.handler.handle(request), credentials)
        # The id drawn here is the first that the handler takes; should it decide again, it takes
        # others, and the account follows.
        drawn = chain((user,), iter(ids, None))
        try:
            outcome = await self._ports.handler.handle(request._replace(ids=lambda: next(drawn)))
        except Rejected:
            await self._ports.accounts.remove(user)
            raise
        if outcome.id != user:
            await self._ports.accounts.remove(user)
            if outcome.repeated:
                return await self._again(outcome, credentials)
            await self._ports.accounts.put(account._replace(user=outcome.id))
        elif await self._ports.accounts.of(user) is None:
            # Who sent the same at the same time took it for an orphan, just before the append.
            await self._keep(account, password)
        return outcome

    async def _again(self, outcome: Outcome, credentials: Credentials) -> Outcome:
        """A registration asked for again is answered again, to who knows the password alone.

        Where a crash took the account, it is made now.
        """
        email, password = _checked(credentials)
        account = await self._ports.accounts.of(outcome.id)
        if self._standing(outcome.id) is Standing.DELETED:
            return outcome
        if account is None:
            kept = await self._passwords.hash(password) if password is not None else None
            await self._keep(Account(outcome.id, email, kept, self._ports.clock_ms()), password)
        elif password is not None and not await self._passwords.matches(account.password, password):
            message = "this key was used for another registration; choose a new key"
            raise Refused(422, "key-reused", message)
        return outcome

    async def _keep(self, account: Account, password: str | None) -> None:
        """Keep an account; one without a user that has its email was left behind, and gives way.

        At once to who knows its password (the same person, trying again), to others after a while:
        its user may be about to be appended. Raises `EmailTaken`.
        """
        accounts = self._ports.accounts
        try:
            await accounts.put(account)
            return
        except EmailTaken:
            other = await accounts.with_email(account.email or "")
            if other is not None:
                if not await self._gives_way(other, password or ""):
                    raise
                await accounts.remove(other.user)
                if self._standing(other.user) is Standing.ACTIVE:
                    # Appended meanwhile: no orphan. Who appends looks for the account afterwards,
                    # so whichever of the two comes last puts it back.
                    await accounts.put(other)
                    raise
        await accounts.put(account)

    async def _gives_way(self, other: Account, password: str) -> bool:
        """Whether an account was left by a crash, of its registration or its deletion."""
        standing = self._standing(other.user)
        if standing is not Standing.UNKNOWN:
            return standing is Standing.DELETED
        young = self._ports.clock_ms() - other.created < ORPHAN_MS
        return not young or await self._passwords.matches(other.password, password)

    async def sign_in(self, asked: SignIn, address: str) -> int:
        """The user whose handle and password these are. Raises `Refused` (401, 429)."""
        handle = asked.handle.removeprefix("@").lower()
        self._throttle.check(handle, address)
        user = self._holder(handle)
        account = await self._ports.accounts.of(user)
        kept = account.password if account is not None else None
        if not await self._passwords.matches(kept, asked.password):
            self._throttle.failed(handle, address)
            message = "no account has this handle and this password: check both"
            raise unauthorized("credentials-wrong", message)
        self._throttle.succeeded(handle, address)
        return user

    def _holder(self, handle: str) -> int:
        """The user who can sign in under a handle, or 0."""
        try:
            user = self._ports.references.user(f"@{handle}")
        except NotFound:
            return 0
        return user if self._standing(user) is Standing.ACTIVE else 0

    def _standing(self, user: int) -> Standing:
        return Sight(self._ports.log)(streams.user(user), STANDING)

    def _check_is_here(self, user: int) -> None:
        """Raises `Refused` (401) for an account that was deleted, whose tokens still say it."""
        if self._standing(user) is not Standing.ACTIVE:
            raise unauthorized("account-deleted", "this account was deleted; register another one")

    async def change(self, user: int, patch: ProfilePatch, address: str) -> None:
        """Give an account another email address or password. Raises `Refused`, `EmailTaken`."""
        if patch.email is UNSET and patch.password is UNSET:
            return
        self._check_is_here(user)
        account = await self._ports.accounts.of(user)
        if account is None:
            account = Account(user, None, None, self._ports.clock_ms())
        if account.password is not None:
            self._throttle.check(str(user), address)
            # The new password is fine as well: then this request was done before.
            known = (patch.current_password or "", patch.password or "")
            if not any([await self._passwords.matches(account.password, one) for one in known]):
                self._throttle.failed(str(user), address)
                message = "to change email or password, give the right `current_password`"
                raise Refused(403, "credentials-wrong", message)
        if patch.email is not UNSET:
            account = account._replace(email=patch.email)
        if patch.password is not UNSET:
            account = account._replace(password=await self._passwords.hash(patch.password))
        await self._keep(account, None)
        try:
            self._check_is_here(user)
        except Refused:  # deleted meanwhile: what was erased stays erased
            await self._ports.accounts.remove(user)
            raise


def _checked(credentials: Credentials) -> tuple[str | None, str | None]:
    """Email and password of a new account. Raises `Invalid`."""
    try:
        email = msgspec.convert(credentials.email, Email | None)
    except msgspec.ValidationError:
        message = "the email address is none; write one like a@example.org"
        raise Invalid("email-invalid", message) from None
    try:
        password = msgspec.convert(credentials.password, Password | None)
    except msgspec.ValidationError:
        message = "a password has 8 to 200 characters; choose another"
        raise Invalid("password-invalid", message) from None
    return email, password
