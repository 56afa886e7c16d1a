"""Errors of every kind as answers: a status and a problem document (RFC 9457).

`type` is `/problems/<code>` (`api.http.problems` answers there), and the code is stable: programs
may compare it. `detail` is for
people and says what to do. Status codes live here and nowhere below.
"""

from typing import NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from api.accounts.account_store import AccountsUnavailable, EmailTaken
from commands.errors import (
    CommandRejected,
    InvalidInput,
    NotAllowed,
    NotFound,
    StateConflict,
    WriteContention,
)
from events.ids.snowflake import OutOfLayout, SnowflakeError
from events.log import IdempotencyKeyReused, LogError
from projections.store import OldSchema, StoreError

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER: Headers = [(b"retry-after", b"1")]
RETRY_AFTER_REBUILD: Headers = [(b"retry-after", b"5")]
PROBLEM_MEDIA_TYPE = b"application/problem+json"

_encode_json = msgspec.json.Encoder().encode


class RequestRefused(Exception):
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


class ProblemResponse(NamedTuple):
    """An error translated: a status, a stable code, a sentence that says what to do."""

    status: int
    code: str
    detail: str
    headers: Headers

    @property
    def problem(self) -> Problem:
        """The document for this refusal."""
        return Problem(
            f"/problems/{self.code}", title_from_code(self.code), self.status, self.detail
        )

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return _encode_json(self.problem)


def title_from_code(code: str) -> str:
    """A code as people write."""
    return code.replace("-", " ").capitalize()


EXPECTED_ERRORS = (
    RequestRefused,
    CommandRejected,
    LogError,
    StoreError,
    SnowflakeError,
    EmailTaken,
    AccountsUnavailable,
)
"""What `translate_error` translates. Anything else is a fault of ours: status 500."""

_STATUS_BY_TYPE: dict[type[CommandRejected], int] = {
    InvalidInput: 422,
    NotFound: 404,
    NotAllowed: 403,
    StateConflict: 409,
    WriteContention: 503,
}
_STATUS_BY_CODE = {"key-reused": 422}
"""Where the HTTP world has another custom: draft-ietf-httpapi-idempotency-key-header."""


def translate_error(error: Exception) -> ProblemResponse:
    """The answer to an error of `EXPECTED_ERRORS`."""
    match error:
        case RequestRefused():
            return ProblemResponse(error.status, error.code, str(error), error.headers)
        case CommandRejected():
            status = _STATUS_BY_CODE.get(error.code) or next(
                status for kind, status in _STATUS_BY_TYPE.items() if isinstance(error, kind)
            )
            return ProblemResponse(
                status, error.code, str(error), RETRY_AFTER if status == 503 else []
            )
        case IdempotencyKeyReused():
            return ProblemResponse(422, "key-reused", f"{error}; choose a new key", [])
        case EmailTaken():
            detail = "another account has this email address: sign in to it, or give another one"
            return ProblemResponse(409, "email-taken", detail, [])
        case OldSchema():
            detail = (
                "what this asks for is new, and its read model is being rebuilt from the log: "
                "try again later; `starling projections status` tells how far it is"
            )
            return ProblemResponse(503, "view-rebuilding", detail, RETRY_AFTER_REBUILD)
        case OutOfLayout():
            return ProblemResponse(422, "time-out-of-range", str(error), [])
        case _:
            return _unavailable_response(error)


_UNAVAILABLE_TEXTS: tuple[tuple[type[Exception], str], ...] = (
    (LogError, "the log of events can't take or give anything"),
    (StoreError, "the read models can't be read"),
    (SnowflakeError, "no ids can be made"),
    (AccountsUnavailable, "the accounts can't be reached"),
)


def _unavailable_response(error: Exception) -> ProblemResponse:
    said = next(text for kind, text in _UNAVAILABLE_TEXTS if isinstance(error, kind))
    detail = f"{said} at the moment: try again, with the same Idempotency-Key if you sent one"
    return ProblemResponse(503, "unavailable", detail, RETRY_AFTER)


_FRAMEWORK_PROBLEMS = {
    404: ("not-found", "there is nothing at this address: see /docs for what there is"),
    405: ("method-not-allowed", "this address does not take this method: see the header Allow"),
}


def translate_framework_error(error: HTTPException) -> ProblemResponse:
    """The answer to what the framework itself refuses."""
    known = (f"http-{error.status_code}", error.detail)
    code, detail = _FRAMEWORK_PROBLEMS.get(error.status_code, known)
    headers = [(k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()]
    return ProblemResponse(error.status_code, code, detail, headers)


INTERNAL_ERROR = ProblemResponse(
    500,
    "internal-error",
    "something broke on our side and is in the server's output; trying again may help",
    [],
)
