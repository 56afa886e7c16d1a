"""Errors of every kind as responses: a status and a problem document (RFC 9457).

`type` is `/problems/<code>` (`api.http.problems` answers there), and the code is stable: programs
may compare it. `detail` is for people and says what to do. Status codes live here and nowhere
below.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from api.accounts import errors as accounts
from api.accounts.errors import AccountError
from api.ports import TimeTravelBusy
from api.schemas import encode_json
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
from projections.registry import UnknownProjection
from projections.store import OldSchema, StoreError
from streams.rebuild.admin import AdminRefused, FeedMissing, ProjectorNotRunning
from streams.rebuild.rebuild_record import RebuildInProgress

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER: Final[Headers] = [(b"retry-after", b"1")]
RETRY_LATER: Final[Headers] = [(b"retry-after", b"5")]
ASK_FOR_TOKEN: Final[Headers] = [(b"www-authenticate", b"Bearer")]
"""The header that RFC 6750 wants with a 401."""

PROBLEM_MEDIA_TYPE: Final = b"application/problem+json"


class RequestRefused(Exception):
    """A request that can't be answered as it is; the message says what to do."""

    def __init__(
        self, status: int, code: str, message: str, headers: Headers | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or []


def unauthorized(code: str, message: str) -> RequestRefused:
    """A 401."""
    return RequestRefused(401, code, message, ASK_FOR_TOKEN)


def token_missing() -> RequestRefused:
    """The 401 for a request without a token that needs one."""
    return unauthorized("token-missing", "sign in and send 'Authorization: Bearer TOKEN'")


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every response that refuses."""

    type: str
    title: str
    status: int
    detail: str


class ProblemResponse(NamedTuple):
    """An error translated: a status, a stable code, a sentence that says what to do."""

    status: int
    code: str
    detail: str
    headers: Sequence[tuple[bytes, bytes]] = ()

    @property
    def problem(self) -> Problem:
        """The document for this error."""
        return Problem(
            f"/problems/{self.code}", title_from_code(self.code), self.status, self.detail
        )

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return encode_json(self.problem)


def title_from_code(code: str) -> str:
    """A code as people write."""
    return code.replace("-", " ").capitalize()


EXPECTED_ERRORS: Final = (
    RequestRefused,
    CommandRejected,
    AccountError,
    LogError,
    StoreError,
    SnowflakeError,
    TimeTravelBusy,
    UnknownProjection,
    AdminRefused,
    RebuildInProgress,
)
"""What `translate_error` translates. Anything else is a fault of ours: status 500."""

_STATUS_BY_TYPE: Final[dict[type[CommandRejected], int]] = {
    InvalidInput: 422,
    NotFound: 404,
    NotAllowed: 403,
    StateConflict: 409,
    WriteContention: 503,
}
_STATUS_BY_CODE: Final = {"key-reused": 422}
"""Where the HTTP world has another custom: draft-ietf-httpapi-idempotency-key-header."""


def translate_error(error: Exception) -> ProblemResponse:
    """The response to an error of `EXPECTED_ERRORS`."""
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
            return ProblemResponse(422, "key-reused", f"{error}; choose a new key")
        case AccountError():
            return _translate_account_error(error)
        case OldSchema():
            detail = (
                "what this asks for is new, and its read model is being rebuilt from the log: "
                "try again later; `starling projections status` tells how far it is"
            )
            return ProblemResponse(503, "view-rebuilding", detail, RETRY_LATER)
        case TimeTravelBusy():
            detail = "the past is still being projected: ask again in a few seconds"
            return ProblemResponse(503, "past-busy", detail, RETRY_LATER)
        case UnknownProjection():
            return ProblemResponse(404, "projection-not-found", str(error))
        case ProjectorNotRunning():
            return ProblemResponse(503, "projector-not-running", str(error), RETRY_LATER)
        case FeedMissing():
            return ProblemResponse(409, "not-supported-here", str(error))
        case AdminRefused() | RebuildInProgress():
            return ProblemResponse(409, "projector-refused", str(error))
        case OutOfLayout():
            return ProblemResponse(422, "time-out-of-range", str(error))
        case _:
            return _unavailable_response(error)


def _translate_account_error(error: AccountError) -> ProblemResponse:
    match error:
        case accounts.EmailTaken():
            detail = "another account has this email address: sign in to it, or give another one"
            return ProblemResponse(409, "email-taken", detail)
        case accounts.WrongCredentials():
            return ProblemResponse(401, "credentials-wrong", str(error), ASK_FOR_TOKEN)
        case accounts.WrongCurrentPassword():
            return ProblemResponse(403, "credentials-wrong", str(error))
        case accounts.TooManyTries():
            wait = [(b"retry-after", b"%d" % error.seconds)]
            return ProblemResponse(429, "too-many-tries", str(error), wait)
        case accounts.TooManyHashes():
            return ProblemResponse(503, "busy", str(error), RETRY_AFTER)
        case accounts.AccountDeleted():
            return ProblemResponse(401, "account-deleted", str(error), ASK_FOR_TOKEN)
        case accounts.AccountUnknown():
            return ProblemResponse(401, "account-unknown", str(error), ASK_FOR_TOKEN)
        case accounts.ExpiredToken():
            return ProblemResponse(401, "token-expired", str(error), ASK_FOR_TOKEN)
        case accounts.InvalidToken():
            return ProblemResponse(401, "token-invalid", str(error), ASK_FOR_TOKEN)
        case _:
            return _unavailable_response(error)


_UNAVAILABLE_TEXTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (LogError, "the log of events can't take or give anything"),
    (StoreError, "the read models can't be read"),
    (SnowflakeError, "no ids can be made"),
    (accounts.AccountsUnavailable, "the accounts can't be reached"),
)


def _unavailable_response(error: Exception) -> ProblemResponse:
    text = next(text for kind, text in _UNAVAILABLE_TEXTS if isinstance(error, kind))
    detail = f"{text} at the moment: try again, with the same Idempotency-Key if you sent one"
    return ProblemResponse(503, "unavailable", detail, RETRY_AFTER)


_FRAMEWORK_PROBLEMS: Final = {
    404: ("not-found", "there is nothing at this address: see /docs for what there is"),
    405: ("method-not-allowed", "this address does not take this method: see the header Allow"),
}


def translate_framework_error(error: HTTPException) -> ProblemResponse:
    """The response to what the framework itself refuses."""
    default = (f"http-{error.status_code}", error.detail)
    code, detail = _FRAMEWORK_PROBLEMS.get(error.status_code, default)
    headers = [(k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()]
    return ProblemResponse(error.status_code, code, detail, headers)


INTERNAL_ERROR: Final = ProblemResponse(
    500,
    "internal-error",
    "something broke on our side and is in the server's output; trying again may help",
)
