"""The brake on guessing passwords."""

import pytest

from api.errors import Refused
from api.throttle import TRIES, WINDOW_MS, Throttle
from tests.clocks import HandClock

NOW = 1_700_000_000_000


def tired(clock: HandClock) -> Throttle:
    throttle = Throttle(clock)
    for _ in range(TRIES):
        throttle.check("ada", "10.0.0.1")
        throttle.failed("ada", "10.0.0.1")
    return throttle


def test_too_many_failures_are_refused_with_the_time_to_wait() -> None:
    with pytest.raises(Refused) as refused:
        tired(HandClock(NOW)).check("ada", "10.0.0.1")
    assert refused.value.status == 429
    assert refused.value.headers == [(b"retry-after", b"301")]


def test_other_handles_and_addresses_are_not_held_up() -> None:
    throttle = tired(HandClock(NOW))
    throttle.check("bob", "10.0.0.1")
    throttle.check("ada", "10.0.0.2")


def test_a_new_window_starts_anew() -> None:
    clock = HandClock(NOW)
    throttle = tired(clock)
    clock.ms += WINDOW_MS
    throttle.check("ada", "10.0.0.1")
    throttle.failed("ada", "10.0.0.1")
    throttle.check("ada", "10.0.0.1")


def test_success_forgets_the_failures() -> None:
    throttle = tired(HandClock(NOW))
    throttle.succeeded("ada", "10.0.0.1")
    throttle.check("ada", "10.0.0.1")
