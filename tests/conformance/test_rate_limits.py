"""Counts of rate limits, as the library `limits` uses them, and the throttle of sign-ins."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from limits.storage import Storage

from api.accounts.errors import AccountsUnavailable, TooManyTries
from api.accounts.throttle import (
    MAX_ACCOUNT_FAILURES,
    MAX_ADDRESS_FAILURES,
    MAX_FAILURES,
    WINDOW_SECONDS,
    LoginThrottle,
)
from infra.sqlite.rate_limits import SqliteRateLimits
from tests.conformance.test_accounts import content_of, modes_in

Open = Callable[[], Storage]
"""Opens the same counts once more, as another process would."""


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
def open_counts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(counts: Any) -> Storage:
            closed: Storage = stack.enter_context(closing(counts))
            return closed

        if request.param == "sqlite":
            yield lambda: opened(SqliteRateLimits(tmp_path / "rate-limits.sqlite"))
            return
        from infra.mongodb.rate_limits import MongoRateLimits
        from tests.support.engines.mongodb_views import fresh_address

        address = fresh_address(request.getfixturevalue("mongodb"))
        yield lambda: opened(MongoRateLimits(address))


@pytest.fixture
def counts(open_counts: Open) -> Storage:
    return open_counts()


async def exhaust(throttle: LoginThrottle, handle: str = "ada", address: str = "10.0.0.1") -> None:
    for _ in range(MAX_FAILURES):
        await throttle.count_try(handle, address)


def test_a_count_grows_until_its_window_ends(counts: Storage) -> None:
    assert [counts.incr("k", 1), counts.incr("k", 1), counts.incr("k", 1, amount=3)] == [1, 2, 5]
    assert counts.get("k") == 5
    assert 0 < counts.get_expiry("k") - time.time() <= 1
    time.sleep(1.1)
    assert counts.get("k") == 0
    assert counts.incr("k", 60) == 1
    assert 50 < counts.get_expiry("k") - time.time() <= 60


def test_keys_are_counted_apart_and_can_be_cleared(counts: Storage) -> None:
    counts.incr("a", 60)
    counts.incr("b", 60)
    counts.clear("a")
    assert (counts.get("a"), counts.get("b"), counts.get("c")) == (0, 1, 0)
    counts.reset()
    assert counts.get("b") == 0
    assert counts.check()


async def test_tries_are_counted_for_all_processes_together(open_counts: Open) -> None:
    throttles = [LoginThrottle(open_counts()) for _ in range(2)]
    tries = [throttles[n % 2].count_try("ada", "10.0.0.1") for n in range(13)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    refused = [result for result in results if not isinstance(result, bool)]
    assert [type(result) for result in refused] == [TooManyTries] * 3


async def test_too_many_tries_are_refused_with_the_time_to_wait(counts: Storage) -> None:
    throttle = LoginThrottle(counts)
    await exhaust(throttle)
    with pytest.raises(TooManyTries) as refused:
        await throttle.count_try("ada", "10.0.0.1")
    assert WINDOW_SECONDS - 10 < refused.value.seconds <= WINDOW_SECONDS + 1


async def test_other_handles_and_addresses_are_not_held_up(counts: Storage) -> None:
    throttle = LoginThrottle(counts)
    await exhaust(throttle)
    await throttle.count_try("bob", "10.0.0.1")
    await throttle.count_try("ada", "10.0.0.2")


async def test_success_forgets_the_tries(counts: Storage) -> None:
    throttle = LoginThrottle(counts)
    await exhaust(throttle)
    await throttle.note_success("ada", "10.0.0.1")
    await exhaust(throttle)


async def test_many_accounts_from_one_address_are_stopped_for_all_processes(
    open_counts: Open,
) -> None:
    throttles = [LoginThrottle(open_counts()) for _ in range(2)]
    for number in range(MAX_ADDRESS_FAILURES):
        await throttles[number % 2].count_try(f"user{number}", "10.0.0.1")
    for throttle in throttles:
        with pytest.raises(TooManyTries):
            await throttle.count_try("another", "10.0.0.1")
        await throttle.count_try("another", "10.0.0.2")


async def test_one_account_from_many_addresses_is_stopped(counts: Storage) -> None:
    throttle = LoginThrottle(counts)
    for number in range(MAX_ACCOUNT_FAILURES):
        await throttle.count_try("ada", f"10.0.1.{number}")
    with pytest.raises(TooManyTries):
        await throttle.count_try("ada", "10.0.2.1")
    await throttle.count_try("bob", "10.0.2.1")


async def test_others_do_not_keep_an_account_out_where_it_signed_in_before(
    counts: Storage,
) -> None:
    throttle = LoginThrottle(counts)
    await throttle.note_success("ada", "10.0.0.1", counted=False)
    for number in range(max(MAX_ACCOUNT_FAILURES, MAX_ADDRESS_FAILURES)):
        await throttle.count_try("ada", f"10.0.1.{number}")
    for number in range(MAX_ADDRESS_FAILURES):
        await throttle.count_try(f"user{number}", "10.0.0.1")
    assert await throttle.count_try("ada", "10.0.0.1")
    await exhaust(throttle, "bob", "10.0.0.3")
    for _ in range(MAX_FAILURES - 1):
        await throttle.count_try("ada", "10.0.0.1")
    with pytest.raises(TooManyTries):
        await throttle.count_try("ada", "10.0.0.1")


async def test_an_account_of_ones_own_gives_no_more_guesses_at_others(counts: Storage) -> None:
    throttle = LoginThrottle(counts)
    for number in range(MAX_ADDRESS_FAILURES):
        await throttle.count_try(f"user{number}", "10.0.0.1")
        if number % 5 == 0:
            await throttle.note_success("mallory", "10.0.0.1", counted=False)
    assert await throttle.count_try("mallory", "10.0.0.1")
    await throttle.note_success("mallory", "10.0.0.1")
    with pytest.raises(TooManyTries):
        await throttle.count_try("another", "10.0.0.1")


async def test_right_passwords_from_one_address_do_not_count(counts: Storage) -> None:
    throttle = LoginThrottle(counts)
    for number in range(2 * MAX_ADDRESS_FAILURES):
        await throttle.count_try(f"user{number}", "10.0.0.1")
        await throttle.note_success(f"user{number}", "10.0.0.1")


async def test_without_a_storage_nothing_is_counted() -> None:
    throttle = LoginThrottle(None)
    await exhaust(throttle)
    await throttle.count_try("ada", "10.0.0.1")
    await throttle.note_success("ada", "10.0.0.1")


async def test_a_new_window_starts_at_zero() -> None:
    now = 1_700_000_000.0
    with closing(SqliteRateLimits(":memory:", lambda: now)) as counts:
        throttle = LoginThrottle(counts, lambda: now)
        await exhaust(throttle)
        now += WINDOW_SECONDS - 1
        with pytest.raises(TooManyTries) as refused:
            await throttle.count_try("ada", "10.0.0.1")
        assert refused.value.seconds == 2
        now += 1
        await exhaust(throttle)


def test_ended_windows_leave_the_file(tmp_path: Path) -> None:
    now = 0.0
    with closing(SqliteRateLimits(tmp_path / "counts", lambda: now)) as counts:
        for key in range(100):
            counts.incr(str(key), 10)
        now = 11.0
        for key in range(10):
            counts.incr(f"later {key}", 10)
        assert counts.reset() == 10


async def test_the_file_holds_no_addresses_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "rate-limits.sqlite"
    with closing(SqliteRateLimits(file)) as counts:
        await LoginThrottle(counts).count_try("ada", "203.0.113.7")
        assert b"203.0.113.7" not in content_of(tmp_path)
        assert {mode & 0o077 for mode in modes_in(tmp_path).values()} == {0}


async def test_a_file_that_can_not_be_opened_is_unavailable(tmp_path: Path) -> None:
    with closing(SqliteRateLimits(tmp_path / "nowhere" / "counts")) as counts:
        assert not counts.check()
        with pytest.raises(AccountsUnavailable, match="nowhere"):
            await LoginThrottle(counts).count_try("ada", "10.0.0.1")


def test_a_damaged_file_of_counts_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "rate-limits.sqlite"
    with closing(SqliteRateLimits(path)) as counts:
        assert counts.incr("key", 60) == 1
    path.write_bytes(b"no database at all " * 1000)
    with closing(SqliteRateLimits(path)) as counts:
        assert [counts.incr("key", 60), counts.incr("key", 60)] == [1, 2]
