"""The brake on guessing passwords."""

import pytest

from api.accounts.login_throttle import MAX_FAILURES, WINDOW_MS, LoginThrottle
from api.http.errors import RequestRefused
from tests.support.manual_clock import ManualClock

NOW = 1_700_000_000_000


def exhausted_throttle(clock: ManualClock) -> LoginThrottle:
    throttle = LoginThrottle(clock)
    for _ in range(MAX_FAILURES):
        throttle.check("ada", "10.0.0.1")
        throttle.record_failure("ada", "10.0.0.1")
    return throttle


def test_too_many_failures_are_refused_with_the_time_to_wait() -> None:
    with pytest.raises(RequestRefused) as refused:
        exhausted_throttle(ManualClock(NOW)).check("ada", "10.0.0.1")
    assert refused.value.status == 429
    assert refused.value.headers == [(b"retry-after", b"301")]


def test_other_handles_and_addresses_are_not_held_up() -> None:
    throttle = exhausted_throttle(ManualClock(NOW))
    throttle.check("bob", "10.0.0.1")
    throttle.check("ada", "10.0.0.2")


def test_a_new_window_starts_anew() -> None:
    clock = ManualClock(NOW)
    throttle = exhausted_throttle(clock)
    clock.ms += WINDOW_MS
    throttle.check("ada", "10.0.0.1")
    throttle.record_failure("ada", "10.0.0.1")
    throttle.check("ada", "10.0.0.1")


def test_success_forgets_the_failures() -> None:
    throttle = exhausted_throttle(ManualClock(NOW))
    throttle.clear_failures("ada", "10.0.0.1")
    throttle.check("ada", "10.0.0.1")
