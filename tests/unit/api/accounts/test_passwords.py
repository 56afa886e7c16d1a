"""Password hashes, and the limit on guessing them."""

import asyncio

import pytest
from argon2 import PasswordHasher

from api.accounts import passwords
from api.accounts.errors import TooManyHashes, TooManyTries
from api.accounts.passwords import (
    MAX_FAILURES,
    WINDOW_MS,
    BoundedPasswordHasher,
    LoginThrottle,
)
from tests.support.manual_clock import ManualClock

NOW = 1_700_000_000_000


@pytest.fixture
def fast_hasher() -> BoundedPasswordHasher:
    return BoundedPasswordHasher(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def test_a_password_matches_its_hash_and_no_other(fast_hasher: BoundedPasswordHasher) -> None:
    stored = await fast_hasher.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert "correct horse" not in stored
    assert await fast_hasher.matches(stored, "correct horse")
    assert not await fast_hasher.matches(stored, "correct house")
    assert not await fast_hasher.matches(None, "correct horse")
    assert not await fast_hasher.matches("no hash", "correct horse")


async def test_two_hashes_of_one_password_differ(fast_hasher: BoundedPasswordHasher) -> None:
    assert await fast_hasher.hash("correct horse") != await fast_hasher.hash("correct horse")


async def test_checks_beyond_the_bound_are_refused(
    fast_hasher: BoundedPasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    results = await asyncio.gather(
        *(fast_hasher.matches(None, "guess") for _ in range(5)), return_exceptions=True
    )
    assert len([result for result in results if isinstance(result, TooManyHashes)]) == 2
    assert await fast_hasher.matches(None, "guess") is False


def exhausted_throttle(clock: ManualClock) -> LoginThrottle:
    throttle = LoginThrottle(clock)
    for _ in range(MAX_FAILURES):
        throttle.check("ada", "10.0.0.1")
        throttle.record_failure("ada", "10.0.0.1")
    return throttle


def test_too_many_failures_are_refused_with_the_time_to_wait() -> None:
    with pytest.raises(TooManyTries) as refused:
        exhausted_throttle(ManualClock(NOW)).check("ada", "10.0.0.1")
    assert refused.value.seconds == 301


def test_other_handles_and_addresses_are_not_held_up() -> None:
    throttle = exhausted_throttle(ManualClock(NOW))
    throttle.check("bob", "10.0.0.1")
    throttle.check("ada", "10.0.0.2")


def test_a_new_window_starts_at_zero() -> None:
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
