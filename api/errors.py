"""Errors of every kind as answers: a status and a problem document (RFC 9457).

`type` is `/problems/<code>` (`api.problems` answers there), and the code is stable: programs may
compare it. `detail` is for
people and says what to do. Status codes live here and nowhere below.
"""

from typing import NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from api.accounts import AccountsUnavailable, EmailTaken
from commands.errors import Conflict, Contended, Invalid, NotAllowed, NotFound, Rejected
from events.log import KeyReused, LogError
from events.snowflake import OutOfLayout, SnowflakeError
from projections.store import Outgrown, StoreError

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER: Headers = [(b"retry-after", b"1")]
REBUILT_AFTER: Headers = [(b"retry-after", b"5")]
PROBLEM_TYPE = b"application/problem+json"

_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """The door's own refusal, before anything else was asked."""

    def __init__(
        self, status: int, code: str, message: str, headers: Headers | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or []


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every answer that refuses."""

    type: str
    title: str
    status: int
    detail: str


class Refusal(NamedTuple):
    """An error translated: a status, a stable code, a sentence that says what to do."""

    status: int
    code: str
    detail: str
    headers: Headers

    @property
    def problem(self) -> Problem:
        """The document for this refusal."""
        return Problem(f"/problems/{self.code}", titled(self.code), self.status, self.detail)

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return _encode(self.problem)


def titled(code: str) -> str:
    """A code as people write."""
    return code.replace("-", " ").capitalize()


EXPECTED = (
    Refused,
    Rejected,
    LogError,
    StoreError,
    SnowflakeError,
    EmailTaken,
    AccountsUnavailable,
)
"""What `refusal_of` translates. Anything else is a fault of ours: status 500."""

_STATUS: dict[type[Rejected], int] = {
    Invalid: 422,
    NotFound: 404,
    NotAllowed: 403,
    Conflict: 409,
    Contended: 503,
}
_STATUS_OF_CODE = {"key-reused": 422}
"""Where the HTTP world has another custom: draft-ietf-httpapi-idempotency-key-header."""


def refusal_of(error: Exception) -> Refusal:
    """The answer to an error of `EXPECTED`."""
    match error:
        case Refused():
            return Refusal(error.status, error.code, str(error), error.headers)
        case Rejected():
            status = _STATUS_OF_CODE.get(error.code) or next(
                status for kind, status in _STATUS.items() if isinstance(error, kind)
            )
            return Refusal(status, error.code, str(error), RETRY_AFTER if status == 503 else [])
        case KeyReused():
            return Refusal(422, "key-reused", f"{error}; choose a new key", [])
        case EmailTaken():
            detail = "another account has this email address: sign in to it, or give another one"
            return Refusal(409, "email-taken", detail, [])
        case Outgrown():
            detail = (
                "what this asks for is new, and its read model is being rebuilt from the log: "
                "try again later; `starling projections status` tells how far it is"
            )
            return Refusal(503, "view-rebuilding", detail, REBUILT_AFTER)
        case OutOfLayout():
            return Refusal(422, "time-out-of-range", str(error), [])
        case _:
            return _unavailable(error)


_UNAVAILABLE: tuple[tuple[type[Exception], str], ...] = (
    (LogError, "the log of events can't take or give anything"),
    (StoreError, "the read models can't be read"),
    (SnowflakeError, "no ids can be made"),
    (AccountsUnavailable, "the accounts can't be reached"),
)


def _unavailable(error: Exception) -> Refusal:
    said = next(text for kind, text in _UNAVAILABLE if isinstance(error, kind))
    detail = f"{said} at the moment: try again, with the same Idempotency-Key if you sent one"
    return Refusal(503, "unavailable", detail, RETRY_AFTER)


_FRAMEWORK = {
    404: ("not-found", "there is nothing at this address: see /docs for what there is"),
    405: ("method-not-allowed", "this address does not take this method: see the header Allow"),
}


def refusal_of_framework(error: HTTPException) -> Refusal:
    """The answer to what the framework itself refuses."""
    known = (f"http-{error.status_code}", error.detail)
    code, detail = _FRAMEWORK.get(error.status_code, known)
    headers = [(k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()]
    return Refusal(error.status_code, code, detail, headers)


UNEXPECTED = Refusal(
    500,
    "internal-error",
    "something broke on our side and is in the server's output; trying again may help",
    [],
)
