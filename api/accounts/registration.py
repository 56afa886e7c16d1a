"""Registration and sign-in: where accounts, passwords and the log come together.

Used by API processes (`api.v1.accounts`) and, through `api.bulk`, by `starling import`.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain
from typing import Final, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from api.accounts.account_store import AccountRecord, AccountStore
from api.accounts.errors import (
    AccountDeleted,
    AccountsUnavailable,
    EmailTaken,
    TooManyHashes,
    WrongCredentials,
    WrongCurrentPassword,
)
from api.accounts.hashing_queue import ANY_CALLER, HashCaller
from api.accounts.passwords import BoundedPasswordHasher, require_uncommon
from api.accounts.throttle import LoginThrottle
from api.schemas import Password, ProfilePatch, SignIn
from commands import idempotency
from commands.errors import CommandRejected, InvalidInput, NotFound, StateConflict
from commands.handler import CommandHandler
from commands.import_line import Credentials
from commands.references import ReferenceResolver
from commands.request import CommandOutcome, CommandRequest
from commands.rules import ACCOUNT_STATUS, SUSPENSION_REASON, AccountStatus, account_suspended
from commands.stream_reader import read_state
from commands.user import Register, fold_handle
from events import streams
from events.log import EventLog, run_read

MAX_EMAIL_LENGTH: Final = 254
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_PASSWORD: Final = TypeAdapter[str | None](Password | None)

T = TypeVar("T")

ORPHAN_AGE_MS: Final = 60_000
"""An account without a user that is older than this was left by a crash: its email is free."""


class RegistrationPorts(Protocol):
    """The ports that registration needs; `api.ports.Ports` has them, and so has an import."""

    @property
    def log(self) -> EventLog: ...
    @property
    def handler(self) -> CommandHandler: ...
    @property
    def references(self) -> ReferenceResolver: ...
    @property
    def accounts(self) -> AccountStore: ...
    @property
    def throttle(self) -> LoginThrottle: ...
    @property
    def clock_ms(self) -> Callable[[], int]: ...
    @property
    def new_id(self) -> Callable[[], int]: ...


class AccountRegistrar:
    """Registers users who can sign in, and checks their passwords."""

    def __init__(self, ports: RegistrationPorts, passwords: BoundedPasswordHasher) -> None:
        self._ports = ports
        self._passwords = passwords
        self._throttle = ports.throttle

    async def register_account(
        self,
        request: CommandRequest,
        credentials: Credentials,
        caller: HashCaller = ANY_CALLER,
    ) -> CommandOutcome:
        """Register a user who can sign in.

        The account is stored first and the user appended then: a crash in between registers no
        user, and the account is an orphan that gives way. Raises `CommandRejected`, `LogError`,
        `AccountError`.
        """
        email, password = _checked_credentials(credentials)
        if await self._is_repeated(request):
            return await self._repeat_registration(request, credentials, caller)
        require_uncommon(password)
        password_hash = await self._hash_or_none(password, caller)
        ids = request.id_source or self._ports.new_id
        user = ids()
        account = AccountRecord(user, email, password_hash, self._ports.clock_ms())
        try:
            await self._store_account(account, password)
        except EmailTaken:
            # Perhaps by this same request, sent again while it was on its way elsewhere.
            if not await self._is_repeated(request):
                raise
            return await self._repeat_registration(request, credentials, caller)
        # The id drawn here is the first that the handler takes; should it decide again, it takes
        # others, and the account follows.
        drawn = chain((user,), iter(ids, None))
        try:
            outcome = await self._ports.handler.handle(
                request._replace(id_source=lambda: next(drawn))
            )
        except CommandRejected:
            await self._ports.accounts.remove(user)
            raise
        if outcome.id != user:
            await self._ports.accounts.remove(user)
            if outcome.replayed:
                return await self._confirm_repeated(outcome, credentials, caller)
            await self._ports.accounts.put(account._replace(user=outcome.id))
        elif await self._ports.accounts.get(user) is None:
            # The same request, sent at the same time, took it for an orphan before the append.
            await self._store_account(account, password)
        return outcome

    async def sign_up(
        self, command: Register, credentials: Credentials, caller: HashCaller, key: str | None
    ) -> CommandOutcome:
        """`register_account` over HTTP, once for each `Idempotency-Key`; the account is known at
        the address that it was registered from.
        """
        named = idempotency.key_for_registration(key, command) if key is not None else None
        request = CommandRequest(command, 0, named)
        outcome = await self.register_account(request, credentials, caller)
        with suppress(AccountsUnavailable):  # it is registered; its first sign-in makes up for it
            handle = fold_handle(command.handle)
            await self._throttle.note_success(handle, caller.lane, counted=False)
        return outcome

    async def _is_repeated(self, request: CommandRequest) -> bool:
        key, log = request.key, self._ports.log
        return key is not None and await run_read(log, log.idempotency_result, key.name) is not None

    async def _repeat_registration(
        self, request: CommandRequest, credentials: Credentials, caller: HashCaller
    ) -> CommandOutcome:
        outcome = await self._ports.handler.handle(request)
        return await self._confirm_repeated(outcome, credentials, caller)

    async def _confirm_repeated(
        self, outcome: CommandOutcome, credentials: Credentials, caller: HashCaller
    ) -> CommandOutcome:
        """Answer a repeated registration with its first outcome, if the password is the same.

        Where a crash took the account, it is stored now.
        """
        email, password = _checked_credentials(credentials)
        account = await self._ports.accounts.get(outcome.id)
        if await self._account_status(outcome.id) is AccountStatus.DELETED:
            return outcome
        if account is None:
            password_hash = await self._hash_or_none(password, caller)
            account = AccountRecord(outcome.id, email, password_hash, self._ports.clock_ms())
            await self._store_account(account, password)
        elif password is not None and not await self._passwords.matches(
            account.password_hash, password, caller
        ):
            message = "this key was used for another registration; choose a new key"
            raise StateConflict("key-reused", message)
        return outcome

    async def _hash_or_none(self, password: str | None, caller: HashCaller) -> str | None:
        return await self._passwords.hash(password, caller) if password is not None else None

    async def _store_account(self, account: AccountRecord, password: str | None) -> None:
        """Store an account; an orphan that has its email gives way.

        It gives way at once to the same password (the same person, trying again), to others after
        a while: its user may be about to be appended. Raises `EmailTaken`.
        """
        accounts = self._ports.accounts
        try:
            await accounts.put(account)
            return
        except EmailTaken:
            other = await accounts.find_by_email(account.email or "")
            if other is not None:
                if not await self._is_orphan(other, password or ""):
                    raise
                await accounts.remove(other.user)
                if await self._account_status(other.user) is AccountStatus.ACTIVE:
                    # Appended meanwhile: no orphan. The other registration looks for its account
                    # after the append, so the later of the two puts it back.
                    await accounts.put(other)
                    raise
        await accounts.put(account)

    async def _is_orphan(self, other: AccountRecord, password: str) -> bool:
        """Whether an account was left by a crash, of its registration or its deletion."""
        status = await self._account_status(other.user)
        if status is not AccountStatus.UNKNOWN:
            return status is AccountStatus.DELETED
        young = self._ports.clock_ms() - other.created_ms < ORPHAN_AGE_MS
        return not young or await self._passwords.matches(other.password_hash, password)

    async def sign_in(
        self, sign_in: SignIn, caller: HashCaller, begin_session: Callable[[int], Awaitable[T]]
    ) -> T:
        """What `begin_session` makes for the user whose handle and password these are; the
        caller's lane is its network address.

        A hash of a password that was made with older parameters is replaced. Raises
        `WrongCredentials`, also where the password is changed meanwhile, `TooManyTries`,
        `TooManyHashes`, `CallerLeft`.
        """
        try:
            handle = fold_handle(sign_in.handle.removeprefix("@"))
        except InvalidInput:
            raise _wrong_credentials() from None  # no account has it: nothing to count or compare
        familiar = await self._throttle.count_try(handle, caller.lane)
        account = await self._ports.accounts.get(await self._user_by_handle(handle))
        caller = caller._replace(familiar=familiar)
        checked = await self._check_password(account, handle, sign_in.password, caller)
        return await self._begin_session(checked, begin_session)

    async def sign_in_by_name(
        self,
        name: str,
        password: str,
        caller: HashCaller,
        begin_session: Callable[[int], Awaitable[T]],
    ) -> T:
        """As `sign_in`, by handle or email address."""
        if "@" not in name[1:]:
            sign_in = SignIn(handle=name[:64], password=password[:200])
            return await self.sign_in(sign_in, caller, begin_session)
        email = name.casefold()
        familiar = await self._throttle.count_try(email, caller.lane)
        account = await self._ports.accounts.find_by_email(email)
        if account is not None:
            status = await self._account_status(account.user)
            can_sign_in = status in (AccountStatus.ACTIVE, AccountStatus.SUSPENDED)
            account = account if can_sign_in else None
        caller = caller._replace(familiar=familiar)
        checked = await self._check_password(account, email, password[:200], caller)
        return await self._begin_session(checked, begin_session)

    async def _begin_session(
        self, checked: AccountRecord, begin_session: Callable[[int], Awaitable[T]]
    ) -> T:
        begun = await begin_session(checked.user)
        # Another password ends the sessions that there are. One that begins just then is kept
        # from its owner, who gave the password of before.
        account = await self._ports.accounts.get(checked.user)
        if account is None or account.password_hash != checked.password_hash:
            raise WrongCredentials("the password was changed just now: sign in with the new one")
        return begun

    async def _check_password(
        self, account: AccountRecord | None, name: str, password: str, caller: HashCaller
    ) -> AccountRecord:
        """The account as it is from now on."""
        password_hash = account.password_hash if account is not None else None
        matches = await self._passwords.matches(password_hash, password, caller)
        if account is None or password_hash is None or not matches:
            raise _wrong_credentials()
        await self._throttle.note_success(name, caller.lane)
        await self._require_unsuspended(account.user)
        if not self._passwords.is_outdated(password_hash):
            return account
        try:
            own = HashCaller(f"id {account.user}", familiar=True)
            renewed = await self._passwords.hash(password, own)
        except TooManyHashes:
            return account  # the next sign-in tries again; this one was right
        accounts = self._ports.accounts
        if await accounts.replace_password_hash(account.user, password_hash, renewed):
            return account._replace(password_hash=renewed)
        # Another sign-in renewed it, or the password is another one now.
        return await self._check_password(await accounts.get(account.user), name, password, caller)

    async def _require_unsuspended(self, user: int) -> None:
        """Raises `NotAllowed`, with the reason."""
        if await self._account_status(user) is AccountStatus.SUSPENDED:
            stream = streams.user_stream(user)
            reason = await read_state(self._ports.log, stream, SUSPENSION_REASON)
            raise account_suspended(reason)

    async def _user_by_handle(self, handle: str) -> int:
        """The user who can sign in under a handle, or 0."""
        try:
            user = await self._ports.references.find_user(f"@{handle}")
        except NotFound:
            return 0
        status = await self._account_status(user)
        return user if status in (AccountStatus.ACTIVE, AccountStatus.SUSPENDED) else 0

    async def _account_status(self, user: int) -> AccountStatus:
        return await read_state(self._ports.log, streams.user_stream(user), ACCOUNT_STATUS)

    async def _require_active(self, user: int) -> None:
        """Raises `AccountDeleted`; the tokens of a deleted account still name its user."""
        if await self._account_status(user) is not AccountStatus.ACTIVE:
            raise AccountDeleted("this account was deleted; register another one")

    async def confirm_deletion(self, user: int, password: str | None, address: str) -> None:
        """Ask for the password of an account that is to be deleted; it passes if it has none.

        Raises `WrongCurrentPassword`, `TooManyTries`, `TooManyHashes`.
        """
        account = await self._ports.accounts.get(user)
        if account is not None:
            message = "to delete the account, sign in again or send its `password`"
            await self._confirm_password(account, (password or "",), address, message)

    async def _confirm_password(
        self, account: AccountRecord, allowed: tuple[str, ...], address: str, message: str
    ) -> None:
        """Raises `WrongCurrentPassword` with the message unless one is the account's password."""
        if account.password_hash is None:
            return
        lane = f"id {account.user}"
        await self._throttle.count_try(lane, address)
        known = HashCaller(lane, familiar=True)
        matches = self._passwords.matches
        if not any([await matches(account.password_hash, one, known) for one in allowed]):
            raise WrongCurrentPassword(message)
        await self._throttle.note_success(lane, address)

    async def change_credentials(
        self, user: int, patch: ProfilePatch, address: str, session: int
    ) -> None:
        """Give an account another email address or password. Another password ends all sessions
        but `session`.

        Raises `WrongCurrentPassword`, `TooManyTries`, `TooManyHashes`, `EmailTaken`,
        `AccountDeleted`.
        """
        if patch.email is None and patch.password is None:
            return
        await self._require_active(user)
        account = await self._confirm_change(user, patch, address)
        hashed = None
        if patch.password is not None:
            require_uncommon(patch.password)
            known = HashCaller(f"id {user}", familiar=True)
            hashed = await self._passwords.hash(patch.password, known)
        if patch.email is not None:
            email = checked_email(patch.email)
            same = email == account.email and account.email_verified
            await self._store_account(account._replace(email=email, email_verified=same), None)
        accounts = self._ports.accounts
        while hashed is not None and not await accounts.change_password(
            user, account.password_hash, hashed, session
        ):
            # Another request, or a sign-in that renewed the hash, was there first.
            account = await self._confirm_change(user, patch, address)
        try:
            await self._require_active(user)
        except AccountDeleted:  # deleted meanwhile: what was erased stays erased
            await self._ports.accounts.remove(user)
            raise

    async def _confirm_change(self, user: int, patch: ProfilePatch, address: str) -> AccountRecord:
        """The account, which is there from now on. Raises `WrongCurrentPassword`, `TooManyTries`,
        `TooManyHashes`.
        """
        account = await self._ports.accounts.get(user)
        if account is None:
            account = AccountRecord(user, None, None, self._ports.clock_ms())
            await self._ports.accounts.put(account)
        # The new password is fine as well: then this request was done before.
        allowed = (patch.current_password or "", patch.password or "")
        message = "to change email or password, give the right `current_password`"
        await self._confirm_password(account, allowed, address, message)
        return account


def _wrong_credentials() -> WrongCredentials:
    return WrongCredentials("no account has this handle and this password: check both")


def _checked_credentials(credentials: Credentials) -> tuple[str | None, str | None]:
    """Email and password of a new account. Raises `InvalidInput`."""
    email = checked_email(credentials.email)
    try:
        password = _PASSWORD.validate_python(credentials.password)
    except ValidationError:
        message = "a password has 8 to 200 characters; choose another"
        raise InvalidInput("password-invalid", message) from None
    return email, password


def checked_email(email: str | None) -> str | None:
    """An email address, as it is. Raises `InvalidInput`."""
    if email is None or (len(email) <= MAX_EMAIL_LENGTH and _EMAIL.fullmatch(email)):
        return email
    message = "the email address is none; write one like a@example.org"
    raise InvalidInput("email-invalid", message)
