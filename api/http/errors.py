"""Errors of every kind as responses: a status and a problem document (RFC 9457).

`type` is `/problems/<code>` (`api.http.problems` answers there), and the code is stable: programs
may compare it. `detail` is for people and says what to do. Status codes live here and nowhere
below.

Addresses whose clients read errors in another form have a renderer of their own in the ASGI scope.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Scope

from api.accounts import errors as accounts
from api.accounts.errors import AccountError
from api.clicks.click_log import ClickError, ClicksBusy
from api.http.security_headers import SECURITY_HEADERS
from api.media import errors as media
from api.media.errors import MediaError
from api.ports import TimeTravelBusy
from api.schemas import Problem
from api.webhooks.webhook_store import WebhooksUnavailable
from commands.errors import (
    CommandRejected,
    InvalidInput,
    NotAllowed,
    NotFound,
    StateConflict,
    WriteContention,
)
from events.ids.snowflake import ClockWentBack, OutOfLayout, SnowflakeError
from events.log import IdempotencyKeyReused, LogError, NoSuchPosition
from projections.registry import UnknownProjection
from projections.store import OldSchema, StoreError
from streams.rebuild.admin import AdminRefused, FeedMissing, ProjectorNotRunning
from streams.rebuild.rebuild_record import RebuildInProgress

RETRY_AFTER: Final = {"retry-after": "1"}
RETRY_LATER: Final = {"retry-after": "5"}
ASK_FOR_TOKEN: Final = {"www-authenticate": "Bearer"}
"""The header that RFC 6750 wants with a 401."""

FAILURE_KEY: Final = "starling.failure"
"""Of an ASGI scope: why a request failed, for the process's log, which may say more than clients
learn.
"""

ERROR_RENDERER_KEY: Final = "starling.error_renderer"
"""Of an ASGI scope: makes responses of `ProblemResponse`s, where they are no problem documents."""

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


class RequestRefused(HTTPException):
    """A request that can't be answered as it is; `detail` says what to do."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code


def unauthorized(code: str, detail: str) -> RequestRefused:
    """A 401."""
    return RequestRefused(401, code, detail, ASK_FOR_TOKEN)


def token_missing() -> RequestRefused:
    """The 401 for a request without a token that needs one."""
    return unauthorized("token-missing", "sign in and send 'Authorization: Bearer TOKEN'")


class ProblemResponse(NamedTuple):
    """An error translated: a status, a stable code, a sentence that says what to do."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = {}

    @property
    def problem(self) -> Problem:
        """The document for this error."""
        return Problem(
            type=f"/problems/{self.code}",
            title=title_from_code(self.code),
            status=self.status,
            detail=self.detail,
        )

    @property
    def response(self) -> Response:
        """The response with the problem document."""
        body = self.problem.model_dump_json()
        return Response(body, self.status, self.headers, media_type=PROBLEM_MEDIA_TYPE)


def _render(found: ProblemResponse, scope: Scope) -> Response:
    """The response as the clients of a request's address read one."""
    render: Callable[[ProblemResponse], Response] | None = scope.get(ERROR_RENDERER_KEY)
    return render(found) if render is not None else found.response


def title_from_code(code: str) -> str:
    """A code as people write."""
    return code.replace("-", " ").capitalize()


EXPECTED_ERRORS: Final = (
    HTTPException,
    CommandRejected,
    AccountError,
    LogError,
    StoreError,
    SnowflakeError,
    TimeTravelBusy,
    MediaError,
    ClickError,
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
            return ProblemResponse(error.status_code, error.code, error.detail, error.headers or {})
        case HTTPException():
            return _translate_framework_error(error)
        case CommandRejected():
            status = _STATUS_BY_CODE.get(error.code) or next(
                status for kind, status in _STATUS_BY_TYPE.items() if isinstance(error, kind)
            )
            return ProblemResponse(
                status, error.code, str(error), RETRY_AFTER if status == 503 else {}
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
        case MediaError():
            return _translate_media_error(error)
        case ClicksBusy():
            return ProblemResponse(429, "clicks-busy", str(error), RETRY_AFTER)
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
        case NoSuchPosition():
            return ProblemResponse(422, "position-invalid", str(error))
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
            wait = {"retry-after": str(error.seconds)}
            return ProblemResponse(429, "too-many-tries", str(error), wait)
        case accounts.TooManyHashes():
            return ProblemResponse(503, "busy", str(error), RETRY_AFTER)
        case accounts.CallerLeft():
            return ProblemResponse(400, "disconnected", str(error))
        case accounts.AccountDeleted():
            return ProblemResponse(401, "account-deleted", str(error), ASK_FOR_TOKEN)
        case accounts.AccountUnknown():
            return ProblemResponse(401, "account-unknown", str(error), ASK_FOR_TOKEN)
        case accounts.LinkInvalid():
            return ProblemResponse(403, "link-invalid", str(error))
        case accounts.MailNotSetUp():
            return ProblemResponse(409, "mail-not-set-up", str(error))
        case accounts.MailBusy():
            return ProblemResponse(503, "mail-busy", str(error), {"retry-after": "60"})
        case accounts.ExpiredToken():
            return ProblemResponse(401, "token-expired", str(error), ASK_FOR_TOKEN)
        case accounts.InvalidToken():
            return ProblemResponse(401, "token-invalid", str(error), ASK_FOR_TOKEN)
        case _:
            return _unavailable_response(error)


def _translate_media_error(error: MediaError) -> ProblemResponse:
    match error:
        case media.ImageRefused():
            return ProblemResponse(422, error.code, str(error))
        case media.TooManyUploads():
            return ProblemResponse(429, "too-many-uploads", str(error), {"retry-after": "3600"})
        case media.ImagesBusy():
            return ProblemResponse(503, "images-busy", str(error), RETRY_LATER)
        case _:
            return _unavailable_response(error)


_UNAVAILABLE_TEXTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (LogError, "the log of events can't take or give anything"),
    (WebhooksUnavailable, "the webhooks can't be reached"),
    (StoreError, "the read models can't be read"),
    (SnowflakeError, "no ids can be made"),
    (accounts.AccountsUnavailable, "the accounts can't be reached"),
    (media.MediaUnavailable, "the images can't be reached"),
    (ClickError, "clicks can't be taken or asked for"),
)


def _unavailable_response(error: Exception) -> ProblemResponse:
    text = next(text for kind, text in _UNAVAILABLE_TEXTS if isinstance(error, kind))
    if isinstance(error, ClockWentBack):
        text = f"{text} ({error})"
    detail = f"{text} at the moment: try again, with the same Idempotency-Key if you sent one"
    return ProblemResponse(503, "unavailable", detail, RETRY_AFTER)


_FRAMEWORK_PROBLEMS: Final = {
    404: ("not-found", "there is nothing at this address: see /docs for what there is"),
    405: ("method-not-allowed", "this address does not take this method: see the header Allow"),
}


def _translate_framework_error(error: HTTPException) -> ProblemResponse:
    default = (f"http-{error.status_code}", error.detail)
    code, detail = _FRAMEWORK_PROBLEMS.get(error.status_code, default)
    return ProblemResponse(error.status_code, code, detail, error.headers or {})


def translate_validation_error(errors: Sequence[Any]) -> ProblemResponse:
    """The response to a request that doesn't fit its route's parameters or body; `errors` are
    pydantic's.
    """
    first = errors[0]
    place, *path = first["loc"]
    if place == "body" and not path and first["type"] == "missing":
        return ProblemResponse(400, "malformed-json", "the body is no JSON: it is empty")
    sentences = dict.fromkeys(_explain_validation(error) for error in errors)
    code = "invalid-body" if place == "body" else "invalid-query"
    return ProblemResponse(422, code, "; ".join(sentences))


def _explain_validation(error: Any) -> str:
    """What pydantic says, as a sentence that says what to do."""
    path = error["loc"][1:]
    field = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        return f"`{field}` is no field of this: leave it out (see /docs for the fields)"
    if error["type"] == "string_pattern_mismatch":
        return f"`{field}` has not the form that it needs: see /docs for an example"
    message = error["msg"][0].lower() + error["msg"][1:]
    if not field:
        return f"{message}; see /docs for the fields"
    return f"`{field}`: {message}"


INTERNAL_ERROR: Final = ProblemResponse(
    500,
    "internal-error",
    "something broke on our side and is in the server's output; trying again may help",
)


def failure_response(error: Exception, scope: Scope) -> Response:
    """The response to an error of `EXPECTED_ERRORS`; what failed is kept for the process's log."""
    response = _render(translate_error(error), scope)
    if response.status_code >= 500:
        scope[FAILURE_KEY] = str(error) or type(error).__name__
    return response


def _allowed_methods(app: FastAPI, path: str) -> list[str]:
    """The methods of an address; the framework knows those of its first route."""
    methods: set[str] = set()
    for context in iter_route_contexts(app.routes):
        route = context.route
        if isinstance(route, Route) and route.methods and route.path_regex.match(path):
            methods |= route.methods
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def add_error_handlers(app: FastAPI) -> None:
    """Have an application answer every error with a problem document."""

    async def expected(request: Request, error: Exception) -> Response:
        response = failure_response(error, request.scope)
        if response.status_code == 405:
            response.headers["allow"] = ", ".join(_allowed_methods(app, request.url.path))
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _render(translate_validation_error(error.errors()), request.scope)

    async def unexpected(request: Request, error: Exception) -> Response:
        # The framework raises the error again after this response, so that the server logs it.
        # Nor do the middleware see it.
        response = _render(INTERNAL_ERROR, request.scope)
        response.raw_headers += SECURITY_HEADERS
        response.headers["access-control-allow-origin"] = "*"
        return response

    for kind in EXPECTED_ERRORS:
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)


PROBLEM_TEXTS: Final[Mapping[int, str]] = {
    400: "The body is no JSON",
    401: "No token, or one that is not good (any more)",
    403: "Not allowed to this user",
    404: "No such thing (any more)",
    409: "It conflicts with the present state",
    413: "The body is too large",
    422: "A field, a parameter or a header makes no sense; `detail` says which",
    429: "Too many tries",
    503: "Not now; see Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for `responses` of its decorator."""
    return {status: {"model": Problem, "description": PROBLEM_TEXTS[status]} for status in statuses}
