"""Looking a request's token up in the cache, beside the check of the signed tokens of before.

A stored token that a process has seen is found in a dictionary, as long as the revocations were
read a moment ago. The signed one was found in a dictionary, too, and looked at for its end.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from itertools import repeat

from api.accounts.access_tokens import REFRESH_SECONDS, AccessTokens
from api.accounts.signed_tokens import SignedClaims
from infra.process.clock import clock_ms
from infra.sqlite.access_tokens import SqliteTokens
from tests.bench.result import Result

CHECKS = 50_000
"""In less than `REFRESH_SECONDS`: reading revocations is no part of a check."""


def measure(runs: int) -> list[Result]:
    """Checks a second."""
    stored, signed = [], []
    for _ in range(runs):
        stored.append(asyncio.run(_stored_a_second()))
        signed.append(_signed_a_second())
    return [
        Result.from_runs(
            "token checks",
            ("AccessTokens.cached_claims", stored),
            ("a signed token in a dictionary", signed),
            1.0,
            "checks/s",
        )
    ]


async def _stored_a_second() -> float:
    with closing(SqliteTokens(":memory:")) as store:
        tokens = AccessTokens(store, clock_ms, time.monotonic)
        token = (await tokens.issue(1)).encode()
        await tokens.read_claims(token)
        begun = time.monotonic()
        rate = _checks_a_second(lambda: tokens.cached_claims(token))
        assert tokens.cached_claims(token) is not None
        assert time.monotonic() < begun + REFRESH_SECONDS, "too slow: revocations were read, too"
        return rate


def _signed_a_second() -> float:
    token = b"payload.mac"
    cache = {token: SignedClaims(1, frozenset(("user",)), clock_ms() + 60_000)}

    def check() -> SignedClaims | None:
        claims = cache.get(token)
        return claims if claims is not None and claims.expires > clock_ms() else None

    return _checks_a_second(check)


def _checks_a_second(check: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in repeat(None, CHECKS):
        check()
    return CHECKS / (time.perf_counter() - started)
