"""Errors as problem documents."""

import pytest
from starlette.exceptions import HTTPException

from api.accounts import errors as accounts
from api.http.errors import RequestRefused, translate_error
from api.ports import TimeTravelBusy
from api.schemas import Problem
from commands.errors import InvalidInput, NotAllowed, NotFound, StateConflict, WriteContention
from events.ids.snowflake import ClockWentBack, OutOfLayout
from events.log import IdempotencyKeyReused, LogUnavailable
from projections.store import StoreUnavailable


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("text-empty", "write something"), 422, "text-empty"),
        (NotFound("post-not-found", "check the id"), 404, "post-not-found"),
        (NotAllowed("blocked", "leave them alone"), 403, "blocked"),
        (StateConflict("handle-taken", "choose another"), 409, "handle-taken"),
        (StateConflict("key-reused", "choose a new key"), 422, "key-reused"),
        (WriteContention("contended", "try again"), 503, "contended"),
        (IdempotencyKeyReused("k"), 422, "key-reused"),
        (LogUnavailable("disk full"), 503, "unavailable"),
        (StoreUnavailable("locked"), 503, "unavailable"),
        (ClockWentBack("by a day"), 503, "unavailable"),
        (accounts.AccountsUnavailable("locked"), 503, "unavailable"),
        (OutOfLayout("in the year 1900"), 422, "time-out-of-range"),
        (accounts.EmailTaken("a@example.org"), 409, "email-taken"),
        (accounts.WrongCredentials("check both"), 401, "credentials-wrong"),
        (accounts.WrongCurrentPassword("give the right one"), 403, "credentials-wrong"),
        (accounts.TooManyTries(17), 429, "too-many-tries"),
        (accounts.TooManyHashes("try again"), 503, "busy"),
        (accounts.AccountDeleted("register another one"), 401, "account-deleted"),
        (accounts.AccountUnknown("register"), 401, "account-unknown"),
        (accounts.InvalidToken("sign in again"), 401, "token-invalid"),
        (accounts.ExpiredToken("sign in again"), 401, "token-expired"),
        (TimeTravelBusy(), 503, "past-busy"),
        (RequestRefused(418, "teapot", "take coffee elsewhere"), 418, "teapot"),
    ],
)
def test_each_error_has_its_status_and_its_type(error: Exception, status: int, code: str) -> None:
    refusal = translate_error(error)
    problem = Problem.model_validate_json(bytes(refusal.response.body))
    assert (refusal.status, problem.status, problem.type) == (status, status, f"/problems/{code}")
    assert problem.title
    assert problem.detail


@pytest.mark.parametrize("error", [LogUnavailable("x"), WriteContention("contended", "try again")])
def test_what_may_work_later_says_when_to_try_again(error: Exception) -> None:
    assert translate_error(error).headers["retry-after"] == "1"


def test_a_refused_client_learns_how_long_to_wait_or_to_sign_in() -> None:
    assert translate_error(accounts.TooManyTries(17)).headers == {"retry-after": "17"}
    for kind in (accounts.InvalidToken, accounts.WrongCredentials, accounts.AccountDeleted):
        assert translate_error(kind("x")).headers == {"www-authenticate": "Bearer"}


def test_what_is_unavailable_does_not_tell_where_we_keep_things() -> None:
    assert "/srv" not in translate_error(LogUnavailable("/srv/data/log.sqlite is full")).detail


def test_the_email_of_another_is_not_repeated() -> None:
    assert "@" not in translate_error(accounts.EmailTaken("ada@example.org")).detail


def test_refusals_of_the_framework_are_problems_too() -> None:
    refusal = translate_error(HTTPException(405, headers={"Allow": "GET"}))
    assert (refusal.status, refusal.code) == (405, "method-not-allowed")
    assert refusal.headers == {"Allow": "GET"}
