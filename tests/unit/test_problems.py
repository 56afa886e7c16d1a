"""Errors as problem documents."""

import msgspec
import pytest
from starlette.exceptions import HTTPException

from api.accounts import AccountsUnavailable, EmailTaken
from api.errors import Problem, Refused, refusal_of, refusal_of_framework
from commands.errors import Conflict, Contended, Invalid, NotAllowed, NotFound
from events.log import KeyReused, LogUnavailable
from events.snowflake import ClockWentBack, OutOfLayout
from projections.store import StoreUnavailable


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid("text-empty", "write something"), 422, "text-empty"),
        (NotFound("post-not-found", "check the id"), 404, "post-not-found"),
        (NotAllowed("blocked", "leave them alone"), 403, "blocked"),
        (Conflict("handle-taken", "choose another"), 409, "handle-taken"),
        (Conflict("key-reused", "choose a new key"), 422, "key-reused"),
        (Contended("contended", "try again"), 503, "contended"),
        (KeyReused("k"), 422, "key-reused"),
        (LogUnavailable("disk full"), 503, "unavailable"),
        (StoreUnavailable("locked"), 503, "unavailable"),
        (ClockWentBack("by a day"), 503, "unavailable"),
        (AccountsUnavailable("locked"), 503, "unavailable"),
        (OutOfLayout("in the year 1900"), 422, "time-out-of-range"),
        (EmailTaken("a@example.org"), 409, "email-taken"),
        (Refused(418, "teapot", "take coffee elsewhere"), 418, "teapot"),
    ],
)
def test_each_error_has_its_status_and_its_type(error: Exception, status: int, code: str) -> None:
    refusal = refusal_of(error)
    problem = msgspec.json.decode(refusal.body, type=Problem)
    assert (refusal.status, problem.status, problem.type) == (status, status, f"/problems/{code}")
    assert problem.title
    assert problem.detail


@pytest.mark.parametrize("error", [LogUnavailable("x"), Contended("contended", "try again")])
def test_what_may_work_later_says_when_to_try_again(error: Exception) -> None:
    assert (b"retry-after", b"1") in refusal_of(error).headers


def test_what_is_unavailable_does_not_tell_where_we_keep_things() -> None:
    assert "/srv" not in refusal_of(LogUnavailable("/srv/data/log.sqlite is full")).detail


def test_the_email_of_another_is_not_repeated() -> None:
    assert "@" not in refusal_of(EmailTaken("ada@example.org")).detail


def test_refusals_of_the_framework_are_problems_too() -> None:
    refusal = refusal_of_framework(HTTPException(405, headers={"Allow": "GET"}))
    assert (refusal.status, refusal.code) == (405, "method-not-allowed")
    assert refusal.headers == [(b"allow", b"GET")]
