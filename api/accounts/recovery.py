"""Forgotten passwords and unverified email addresses: links are sent, and what they say is done."""

import logging
from typing import Final, NamedTuple, Protocol

from api.accounts.account_store import AccountRecord, AccountStore
from api.accounts.errors import LinkInvalid, MailBusy, MailNotSetUp
from api.accounts.hashing_queue import HashCaller
from api.accounts.link_tokens import LinkPurpose, LinkTokens, read_claims
from api.accounts.mail_queue import DeliverMail, Mail, MailQueue
from api.accounts.passwords import BoundedPasswordHasher, require_uncommon
from api.accounts.throttle import LoginThrottle
from commands.rules import ACCOUNT_STATUS, AccountStatus
from commands.stream_reader import read_state
from events import streams
from events.log import EventLog

_logger = logging.getLogger(__name__)

LINK_PAGE: Final = "/account"
"""The page that links lead to. The token is in the fragment, which browsers send to no server."""

_RESET_TEXT: Final = """\
A new password was asked for, for your account. With this link you choose one:

{link}

It works once, for an hour. All devices are signed out then. If you did not ask for it, do nothing:
your password stays as it is.
"""

_VERIFY_TEXT: Final = """\
This address was given for an account. With this link you say that it is yours:

{link}

It is good for a day. If you know nothing of it, do nothing.
"""


class RecoveryMail(NamedTuple):
    """What links are signed and sent with; `deliver` is None where no mail server is set."""

    links: LinkTokens
    deliver: DeliverMail | None = None


class RecoveryPorts(Protocol):
    """The ports that recovery needs; `api.ports.Ports` has them."""

    @property
    def log(self) -> EventLog: ...
    @property
    def accounts(self) -> AccountStore: ...
    @property
    def throttle(self) -> LoginThrottle: ...
    @property
    def recovery_mail(self) -> RecoveryMail: ...
    @property
    def base_url(self) -> str: ...


class AccountRecovery:
    """Sends links to users, and does what a link is for."""

    def __init__(self, ports: RecoveryPorts, passwords: BoundedPasswordHasher) -> None:
        self._ports = ports
        self._passwords = passwords
        self._links, deliver = ports.recovery_mail
        self._queue = None if deliver is None else MailQueue(deliver)

    async def request_reset(self, email: str, address: str) -> None:
        """Send a link to the account that has this email address, if there is one.

        Whether there is one is looked up when the mail's turn comes: nothing of the request, nor
        how long it takes, depends on it. Raises `MailNotSetUp`, `MailBusy`, `TooManyTries`.
        """
        queue = self._require_queue()
        await self._ports.throttle.count_try(f"mail {email.casefold()}", address)

        async def compose() -> Mail | None:
            account = await self._ports.accounts.find_by_email(email)
            if account is None or account.email is None or not await self._is_active(account.user):
                return None
            link = reset_link(self._links, account, self._ports.base_url)
            return Mail(account.email, "Choose a new password", _RESET_TEXT.format(link=link))

        if not queue.put(compose):
            raise MailBusy

    async def reset_password(self, token: str, password: str, caller: HashCaller) -> int:
        """Give the account of a link another password, and end all sessions; returns its user.

        Raises `LinkInvalid`, `InvalidInput`, `TooManyHashes`, `CallerLeft`.
        """
        claims = read_claims(token)
        account = await self._account(claims.user)
        bound_to = account.password_hash or ""
        self._links.check(LinkPurpose.RESET_PASSWORD, claims, bound_to)
        require_uncommon(password)
        hashed = await self._passwords.hash(password, caller)
        if not await self._ports.accounts.change_password(
            account.user, account.password_hash, hashed, keep=None
        ):
            raise LinkInvalid  # used meanwhile
        return account.user

    async def request_verification(self, user: int, address: str) -> bool:
        """Send a link to the address of a user's account. False, and nothing sent, where it is
        verified or has none.

        Raises `MailNotSetUp`, `MailBusy`, `TooManyTries`.
        """
        if await self._unverified(user) is None:
            return False
        queue = self._require_queue()
        await self._ports.throttle.count_try(f"mail id {user}", address)

        async def compose() -> Mail | None:
            account = await self._unverified(user)
            return None if account is None else self._verification_mail(account)

        if not queue.put(compose):
            raise MailBusy
        return True

    def ask_for_verification(self, user: int) -> None:
        """Send a link to the address that a user's account was just given, without being asked.

        The request that gave it neither waits nor fails: nothing is sent where no mail server is
        set, too many mails wait, or one address was sent several lately, and the user can ask.
        """
        if self._queue is None:
            return

        async def compose() -> Mail | None:
            account = await self._unverified(user)
            if account is None:
                return None
            if not await self._ports.throttle.count_mail(account.email or ""):
                _logger.warning("an address had its share of links today: it was sent no other")
                return None
            return self._verification_mail(account)

        if not self._queue.put(compose):
            _logger.warning("too many mails wait: a new account was sent no link")

    async def _unverified(self, user: int) -> AccountRecord | None:
        """The account of a user, if its address waits to be verified."""
        account = await self._ports.accounts.get(user)
        if account is None or account.email is None or account.email_verified:
            return None
        return account if await self._is_active(user) else None

    def _verification_mail(self, account: AccountRecord) -> Mail:
        link = verification_link(self._links, account, self._ports.base_url)
        return Mail(account.email or "", "Is this your address?", _VERIFY_TEXT.format(link=link))

    async def verify_email(self, token: str) -> None:
        """Remember that the account of a link has the address it was sent to.

        Raises `LinkInvalid`.
        """
        claims = read_claims(token)
        account = await self._account(claims.user)
        email = account.email or ""
        self._links.check(LinkPurpose.VERIFY_EMAIL, claims, email)
        if not await self._ports.accounts.mark_email_verified(account.user, email):
            raise LinkInvalid

    async def aclose(self) -> None:
        """Wait a moment for mails that are under way."""
        if self._queue is not None:
            await self._queue.close()

    def _require_queue(self) -> MailQueue:
        if self._queue is None:
            raise MailNotSetUp
        return self._queue

    async def _account(self, user: int) -> AccountRecord:
        account = await self._ports.accounts.get(user)
        if account is None or not await self._is_active(user):
            raise LinkInvalid
        return account

    async def _is_active(self, user: int) -> bool:
        status = await read_state(self._ports.log, streams.user_stream(user), ACCOUNT_STATUS)
        return status is AccountStatus.ACTIVE


def reset_link(links: LinkTokens, account: AccountRecord, base_url: str) -> str:
    """A link by which the account gets another password, once."""
    token = links.issue(LinkPurpose.RESET_PASSWORD, account.user, account.password_hash or "")
    return f"{base_url}{LINK_PAGE}#{LinkPurpose.RESET_PASSWORD.value}={token}"


def verification_link(links: LinkTokens, account: AccountRecord, base_url: str) -> str:
    """A link that says: the address of the account is its user's."""
    token = links.issue(LinkPurpose.VERIFY_EMAIL, account.user, account.email or "")
    return f"{base_url}{LINK_PAGE}#{LinkPurpose.VERIFY_EMAIL.value}={token}"
