"""Limits on rates: counted in each process, and together by reports to shared counts."""

import asyncio
import logging
from contextlib import closing
from pathlib import Path

import pytest

from api.accounts.request_limits import (
    ADDRESS_FACTOR,
    DEFAULT_RATES,
    RateStanding,
    RequestKind,
    RequestLimits,
    read_rates,
)
from infra.sqlite.rate_limits import SqliteRateLimits

START = 1_770_000_000.0
HERE = b"192.0.2.1"


class Time:
    """Unix seconds that stand still."""

    now = START

    def __call__(self) -> float:
        return self.now


async def send(
    limits: RequestLimits, times: int, kind: RequestKind = RequestKind.READ, token: bytes = b"t"
) -> RateStanding:
    """Count some requests, each one's report done before the next; the last one's standing."""
    for _ in range(times):
        standing = limits.count(kind, token, HERE)
        await limits.finish_reports()
    return standing


def small_limits(storage: SqliteRateLimits, time: Time, *lines: str) -> RequestLimits:
    return RequestLimits(storage, read_rates(lines or ("reads=4 per 5 minutes",)), time)


def test_the_request_beyond_the_limit_waits_for_the_end_of_the_window() -> None:
    async def scenario() -> None:
        time = Time()
        limits = small_limits(SqliteRateLimits(":memory:", time), time)
        assert await send(limits, 4) == (4, 0, "2026-02-02T02:45:00.000Z", None)
        time.now += 100.5
        assert (await send(limits, 1)).retry_after == 200
        time.now = START + 300
        assert await send(limits, 1) == (4, 3, "2026-02-02T02:50:00.000Z", None)

    asyncio.run(scenario())


def test_two_processes_count_together(tmp_path: Path) -> None:
    async def scenario() -> None:
        time = Time()
        with (
            closing(SqliteRateLimits(tmp_path / "counts", time)) as one,
            closing(SqliteRateLimits(tmp_path / "counts", time)) as other,
        ):
            assert (await send(small_limits(one, time), 3)).remaining == 1
            time.now += 60
            second = small_limits(other, time)
            await send(second, 1)
            standing = await send(second, 1)
            # The window is the first one's, too.
            assert (standing.retry_after, standing.reset) == (241, "2026-02-02T02:45:00.000Z")

    asyncio.run(scenario())


def test_tokens_count_apart_and_their_address_counts_them_all() -> None:
    async def scenario() -> None:
        time = Time()
        limits = small_limits(SqliteRateLimits(":memory:", time), time)
        for number in range(ADDRESS_FACTOR):
            assert (await send(limits, 4, token=b"%d" % number)).retry_after is None
        standing = await send(limits, 1, token=b"another")
        assert (standing.limit, standing.retry_after) == (4 * ADDRESS_FACTOR, 301)
        assert limits.count(RequestKind.READ, b"another", b"192.0.2.2").remaining == 3

    asyncio.run(scenario())


def test_sign_ins_count_by_address_whatever_token_comes_with_them() -> None:
    async def scenario() -> None:
        time = Time()
        limits = small_limits(SqliteRateLimits(":memory:", time), time, "sign-ins=2 per minute")
        kind = RequestKind.SIGN_IN
        for token in (b"a", b"b"):
            assert (await send(limits, 1, kind, token)).retry_after is None
        assert (await send(limits, 1, kind, b"c")).retry_after == 61
        assert (await send(limits, 1)).retry_after is None

    asyncio.run(scenario())


def test_a_process_reports_once_in_a_fiftieth_of_a_limit() -> None:
    async def scenario() -> None:
        time = Time()
        storage = SqliteRateLimits(":memory:", time)
        limits = small_limits(storage, time, "sign-ups=500 per minute")
        await send(limits, 9, RequestKind.SIGN_UP)
        assert storage.reset() == 0
        await send(limits, 1, RequestKind.SIGN_UP)
        assert storage.reset() == 1

    asyncio.run(scenario())


def test_without_the_shared_counts_a_process_goes_on_with_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        time = Time()
        with closing(SqliteRateLimits(tmp_path / "no" / "folder", time)) as storage:
            limits = small_limits(storage, time)
            with caplog.at_level(logging.WARNING):
                assert (await send(limits, 4)).retry_after is None
                assert (await send(limits, 1)).retry_after is not None
        assert "counted by process only" in caplog.text

    asyncio.run(scenario())


def test_rates_that_are_not_named_keep_their_defaults() -> None:
    rates = read_rates(["apps = 5/hour"])
    assert rates == {**DEFAULT_RATES, RequestKind.APP: "5/hour"}


@pytest.mark.parametrize("line", ["reads", "reads=many", "reads=0 per minute", "likes=3/hour"])
def test_a_rate_that_cannot_be_meant_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="sign-ins"):
        read_rates([line])
