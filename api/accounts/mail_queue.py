"""Mail that waits to be sent, so that no request waits for a mail server or fails with it.

It is kept in the memory of the API process alone: a link is good for an hour, and a user who got
none asks again. Log lines say what went wrong and never to whom: texts of a mail server repeat
addresses, so they are left out, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from api.accounts.errors import AccountError
from events.log import LogError

_logger = logging.getLogger(__name__)

MOST_WAITING: Final = 1000
"""Mails; further ones are refused."""
AT_ONCE: Final = 4
"""Connections to the mail server."""
RETRY_SECONDS: Final = (1.0, 10.0, 60.0, 300.0)
"""The pauses before the tries after the first."""
CLOSING_SECONDS: Final = 5.0
"""How long the end of a process waits for mails that are under way."""


class Mail(NamedTuple):
    """A mail in plain text."""

    to: str
    subject: str
    text: str


class MailFailed(Exception):
    """A mail could not be handed over; the message holds no address.

    `final` says that the server won't take it later either.
    """

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


DeliverMail = Callable[[Mail], Awaitable[None]]
"""Hands a mail to a mail server. Raises `MailFailed`."""

ComposeMail = Callable[[], Awaitable[Mail | None]]
"""Makes a mail when its turn comes; None for none."""


class MailQueue:
    """Sends mails one by one beside the requests. Made for one event loop."""

    def __init__(self, deliver: DeliverMail, pauses: Sequence[float] = RETRY_SECONDS) -> None:
        """`pauses` are the seconds between the tries of one mail."""
        self._deliver = deliver
        self._pauses = pauses
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, compose: ComposeMail) -> bool:
        """Send a mail soon. False where too many wait."""
        if len(self._tasks) >= MOST_WAITING:
            return False
        task = asyncio.get_running_loop().create_task(self._send(compose))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Wait a moment for what is under way, and give up the rest."""
        if not self._tasks:
            return
        _, waiting = await asyncio.wait(self._tasks, timeout=seconds)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
            _logger.warning("%d mails were not sent before the process ended", len(waiting))

    async def _send(self, compose: ComposeMail) -> None:
        try:
            async with self._turns:
                mail = await compose()
            if mail is not None:
                await self._try_until_sent(mail)
        except (AccountError, LogError, ValueError) as error:
            # Not the error's text: it may hold an address.
            _logger.error("a mail can't be made: %s", type(error).__name__)

    async def _try_until_sent(self, mail: Mail) -> None:
        for pause in (*self._pauses, None):
            try:
                async with self._turns:
                    await self._deliver(mail)
                return
            except MailFailed as error:
                if error.final or pause is None:
                    _logger.error("a mail was given up: %s", error)
                    return
                _logger.warning("a mail is tried again in %g s: %s", pause, error)
            await asyncio.sleep(pause)
