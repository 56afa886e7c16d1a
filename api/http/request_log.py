"""The id of a request, and what an API process says of requests in its log.

A client, or a proxy before it, may send `X-Request-Id`; otherwise the process makes one. It stands
in every log record that the request causes, beside `correlation`: the id that all events of the
command carry in the log of record, so one leads to the other.
"""

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from itertools import count
from time import monotonic
from typing import Final

REQUEST_ID_HEADER: Final = b"x-request-id"

ERROR_LINE_SECONDS: Final = 1.0
"""While the same route fails with the same status, it gets a line as often as this."""

_VALID_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

_process_prefix = f"{secrets.token_hex(5)}-"
_numbers = count(1)

_logger = logging.getLogger(__name__)


class _CurrentRequest:
    """The request that a task answers."""

    __slots__ = ("correlation", "id")

    def __init__(self, id: str) -> None:
        self.id = id
        self.correlation = 0


_current: ContextVar[_CurrentRequest | None] = ContextVar("current_request", default=None)


def begin_request(given: bytes | None) -> str:
    """The id of the request that this task answers from now on.

    `given` is its header `X-Request-Id`; None, or one that is not 1-64 letters, digits and `._:-`,
    is replaced.
    """
    valid = given is not None and _VALID_ID.fullmatch(given)
    id = given.decode("ascii") if given and valid else f"{_process_prefix}{next(_numbers):x}"
    _current.set(_CurrentRequest(id))
    return id


def note_correlation(correlation: int) -> None:
    """The events that the current request appends carry this id. Nothing without a request."""
    current = _current.get()
    if current is not None:
        current.correlation = correlation


def request_fields() -> Mapping[str, str]:
    """The current request, as fields of a log record."""
    current = _current.get()
    if current is None:
        return {}
    if not current.correlation:
        return {"request_id": current.id}
    return {"request_id": current.id, "correlation": str(current.correlation)}


class RequestLog:
    """Says of a request that it failed; with `every_request` says of each what it was."""

    def __init__(self, every_request: bool, clock: Callable[[], float] = monotonic) -> None:
        self._every_request = every_request
        self._clock = clock
        self._silent_until: dict[tuple[str, str, int], float] = {}

    def report(self, method: str, route: str, status: int, seconds: float, why: str = "") -> None:
        """A request was answered. `why` is the reason of a status from 500.

        Never the address: it may hold a token or a name.
        """
        if status < 500 and not self._every_request:
            return
        level = logging.INFO if status < 500 else logging.WARNING
        if level == logging.WARNING and not self._every_request:
            key, now = (method, route, status), self._clock()
            if now < self._silent_until.get(key, 0.0):
                return
            self._silent_until[key] = now + ERROR_LINE_SECONDS
        _logger.log(
            level, "%s %s %d in %.1f ms%s", method, route, status, seconds * 1000,
            f": {why}" if why else "",
        )  # fmt: skip
