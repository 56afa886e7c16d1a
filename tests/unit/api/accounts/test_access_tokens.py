"""Access tokens, as one process knows them while others revoke."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest

from api.accounts import access_tokens
from api.accounts.access_tokens import (
    STALE_SECONDS,
    TOKEN_LIFE_DAYS,
    TRUST_SECONDS,
    USED_SECONDS,
    AccessTokens,
)
from api.accounts.errors import AccountsUnavailable, ExpiredToken, InvalidToken
from api.accounts.signed_tokens import SignedTokens
from api.accounts.token_store import Revocations, TokenClaims
from infra.sqlite.access_tokens import SqliteTokens
from tests.support.manual_clock import ManualClock
from tests.support.signed_tokens import SignedTokenIssuer

SECRET = b"a secret of the tests"
NOW = 1_700_000_000_000
DAY_SECONDS = 24 * 60 * 60


class CountingStore(SqliteTokens):
    """Counts look-ups, and can be slow, out of reach, or hang."""

    found = 0
    unreachable = False
    hanging = False
    seconds = 0.0

    async def find_token(self, digest: bytes) -> TokenClaims | None:
        self.found += 1
        return await super().find_token(digest)

    async def revoked_after(self, number: int | None) -> Revocations:
        if self.unreachable:
            raise AccountsUnavailable("out of reach")
        if self.hanging:
            await asyncio.Event().wait()
        await asyncio.sleep(self.seconds)
        return await super().revoked_after(number)

    async def note_use(self, ids: Sequence[int], now_ms: int) -> None:
        await super().note_use(ids, now_ms)


@pytest.fixture
def store() -> Iterator[CountingStore]:
    opened = CountingStore(":memory:")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def open_tokens(store: CountingStore, clock: ManualClock) -> AccessTokens:
    return AccessTokens(store, clock, clock.monotonic, SignedTokens(SECRET))


async def test_a_token_says_who_and_what_for(store: CountingStore, clock: ManualClock) -> None:
    tokens = open_tokens(store, clock)
    token = await tokens.issue(7, ("user", "read:statuses"), app=3)
    claims = await open_tokens(store, clock).read_claims(token.encode())
    assert (claims.user, claims.app) == (7, 3)
    assert claims.scopes == {"user", "read:statuses"}
    assert len(token) == 43


async def test_a_known_token_is_read_without_asking_the_store(
    store: CountingStore, clock: ManualClock
) -> None:
    tokens = open_tokens(store, clock)
    token = (await tokens.issue(7)).encode()
    assert tokens.cached_claims(token) is None
    claims = await tokens.read_claims(token)
    assert tokens.cached_claims(token) is claims
    assert store.found == 1


async def test_a_revocation_elsewhere_holds_within_a_second(
    store: CountingStore, clock: ManualClock
) -> None:
    here, there = open_tokens(store, clock), open_tokens(store, clock)
    token, other = [(await here.issue(7)).encode() for _ in range(2)]
    claims = await here.read_claims(token)
    await here.read_claims(other)
    await there.end_session(claims.id, 7)
    clock.sleep(STALE_SECONDS)
    assert here.cached_claims(token) is None
    with pytest.raises(InvalidToken, match="revoked"):
        await here.read_claims(token)
    assert here.cached_claims(other) is not None


async def test_a_revocation_holds_at_once_where_it_was_made(
    store: CountingStore, clock: ManualClock
) -> None:
    tokens = open_tokens(store, clock)
    token = (await tokens.issue(7)).encode()
    await tokens.end_session((await tokens.read_claims(token)).id)
    assert tokens.cached_claims(token) is None


async def test_without_the_store_no_token_is_trusted_for_long(
    store: CountingStore, clock: ManualClock
) -> None:
    tokens = open_tokens(store, clock)
    token = (await tokens.issue(7)).encode()
    await tokens.read_claims(token)
    store.unreachable = True
    clock.sleep(TRUST_SECONDS - 1)
    assert (await tokens.read_claims(token)).user == 7
    clock.sleep(1)
    with pytest.raises(AccountsUnavailable):
        await tokens.read_claims(token)
    assert tokens.cached_claims(token) is None
    store.unreachable = False
    clock.sleep(1)
    assert (await tokens.read_claims(token)).user == 7


async def test_a_process_that_has_just_begun_waits_longer_for_the_first_look(
    store: CountingStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "_WAIT_SECONDS", 0.01)
    token = await open_tokens(store, clock).issue(7)
    store.seconds = 0.1
    assert (await open_tokens(store, clock).read_claims(token.encode())).user == 7


async def test_many_tokens_are_checked_at_once_also_while_the_store_hangs(
    store: CountingStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "_WAIT_SECONDS", 0.05)
    tokens = open_tokens(store, clock)
    many = [(await tokens.issue(7)).encode() for _ in range(40)]
    ended, expired = [(await tokens.issue(7, days=days)).encode() for days in (30, 5e-6)]
    for token in (*many, ended, expired):
        await tokens.read_claims(token)
    await open_tokens(store, clock).end_session((await tokens.read_claims(ended)).id)
    clock.sleep(STALE_SECONDS)
    found = await tokens.failures_of([*many, ended, expired])
    assert {token: type(why) for token, why in found.items()} == {
        ended: InvalidToken, expired: ExpiredToken,
    }  # fmt: skip
    store.hanging = True
    clock.sleep(TRUST_SECONDS - 1)
    started = time.monotonic()
    assert await tokens.failures_of(many) == {}
    clock.sleep(1)
    found = await tokens.failures_of(many)
    assert time.monotonic() - started < 1
    assert {type(why) for why in found.values()} == {AccountsUnavailable}
    assert found.keys() == set(many)


async def test_a_token_expires_also_where_it_was_read_before(
    store: CountingStore, clock: ManualClock
) -> None:
    tokens = open_tokens(store, clock)
    token = (await tokens.issue(7)).encode()
    await tokens.read_claims(token)
    clock.sleep(TOKEN_LIFE_DAYS * DAY_SECONDS)
    for _ in range(2):
        assert tokens.cached_claims(token) is None
        with pytest.raises(ExpiredToken):
            await tokens.read_claims(token)


async def test_the_last_use_is_known_to_the_hour(store: CountingStore, clock: ManualClock) -> None:
    tokens = open_tokens(store, clock)
    token = (await tokens.issue(7)).encode()
    await tokens.read_claims(token)
    clock.sleep(USED_SECONDS + 1)
    await tokens.read_claims(token)
    used = clock()
    await tokens.end_session(1)  # reads revocations, and stores uses
    assert [one.used_ms for one in await tokens.list_sessions(7)] == [used]


async def test_a_signed_token_is_good_once_more_and_can_be_revoked(
    store: CountingStore, clock: ManualClock
) -> None:
    tokens = open_tokens(store, clock)
    token = SignedTokenIssuer(SECRET, clock).issue(7, ("import",), days=2).encode()
    claims = await tokens.read_claims(token)
    assert claims.user == 7
    assert claims.scopes == {"import"}
    assert [one.id for one in await tokens.list_sessions(7)] == [claims.id]
    await tokens.end_session(claims.id, 7)
    with pytest.raises(InvalidToken):
        await tokens.read_claims(token)


async def test_a_signed_token_is_refused_after_the_cut_off(store: CountingStore) -> None:
    late = ManualClock(4_000_000_000_000)
    token = SignedTokenIssuer(SECRET, late).issue(7).encode()
    with pytest.raises(InvalidToken, match="former kind"):
        await open_tokens(store, late).read_claims(token)


@pytest.mark.parametrize("token", [b"", b"x", b"\xff\xfe", b"a.b.c", b"A" * 43])
async def test_what_is_no_token_is_refused(
    token: bytes, store: CountingStore, clock: ManualClock
) -> None:
    with pytest.raises(InvalidToken):
        await open_tokens(store, clock).read_claims(token)
