"""The access tokens beside the accounts, wherever they lie."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from api.accounts.errors import AccountsUnavailable
from api.accounts.token_store import TokenClaims, TokenStore
from infra.sqlite.access_tokens import SqliteTokens

NOW = 1_700_000_000_000
HOUR = 3_600_000
FAR = 4_000_000_000_000

Open = Callable[[], TokenStore]
"""Opens the same tokens once more, as another process would."""


def claims(id: int, user: int = 1, app: int | None = None, made: int = NOW) -> TokenClaims:
    scopes = frozenset({"user", "read:statuses"})
    return TokenClaims(id, b"digest %d" % id, user, app, scopes, made, made, FAR)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def open_tokens(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "sqlite":
        yield lambda: SqliteTokens(tmp_path / "accounts.sqlite")
        return
    from infra.mongodb.access_tokens import MongoTokens
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        yield lambda: MongoTokens(opened.blocking)


@pytest.fixture
async def tokens(open_tokens: Open) -> AsyncIterator[TokenStore]:
    opened = open_tokens()
    yield opened
    opened.close()


async def test_a_token_is_found_by_its_digest_as_it_was_stored(tokens: TokenStore) -> None:
    for one in (claims(1), claims(2, user=0, app=7)):
        await tokens.add_token(one)
        assert await tokens.find_token(one.digest) == one
    assert await tokens.find_token(b"another") is None


async def test_a_user_has_the_tokens_that_are_good_the_newest_first(tokens: TokenStore) -> None:
    for one in (claims(1), claims(2, made=NOW + 1), claims(3, user=2), claims(4)):
        await tokens.add_token(one)
    await tokens.revoke_token(4)
    assert [one.id for one in await tokens.tokens_of(1, NOW)] == [2, 1]
    assert await tokens.tokens_of(1, FAR) == []


async def test_a_token_is_revoked_by_its_owner_once(tokens: TokenStore) -> None:
    await tokens.add_token(claims(1))
    assert not await tokens.revoke_token(1, 2)
    assert await tokens.find_token(claims(1).digest) is not None
    assert await tokens.revoke_token(1, 1)
    assert not await tokens.revoke_token(1, 1)
    assert await tokens.find_token(claims(1).digest) is None


async def test_all_tokens_of_a_user_or_of_an_app_are_revoked_but_one(tokens: TokenStore) -> None:
    for one in (claims(1), claims(2, app=7), claims(3, app=7), claims(4, user=2, app=7)):
        await tokens.add_token(one)
    assert await tokens.revoke_tokens(1, app=7, keep=3) == 1
    assert sorted(one.id for one in await tokens.tokens_of(1, NOW)) == [1, 3]
    assert await tokens.revoke_tokens(1, keep=1) == 1
    assert [one.id for one in await tokens.tokens_of(1, NOW)] == [1]
    assert [one.id for one in await tokens.tokens_of(2, NOW)] == [4]


async def test_another_process_learns_what_was_revoked(
    tokens: TokenStore, open_tokens: Open
) -> None:
    other = open_tokens()
    for id in (1, 2, 3):
        await tokens.add_token(claims(id))
    before, none = await other.revoked_after(None)
    assert not none
    await tokens.revoke_token(1)
    first, digests = await other.revoked_after(before)
    assert digests == [claims(1).digest]
    await tokens.revoke_tokens(1)
    last, digests = await other.revoked_after(first)
    assert sorted(digests) == [claims(2).digest, claims(3).digest]
    assert before < first < last
    assert await other.revoked_after(last) == (last, ())
    other.close()


async def test_the_last_use_only_moves_on(tokens: TokenStore) -> None:
    await tokens.add_token(claims(1))
    await tokens.note_use([1, 99], NOW + HOUR)
    await tokens.note_use([1], NOW)
    found = await tokens.find_token(claims(1).digest)
    assert found is not None
    assert found.used_ms == NOW + HOUR


async def test_a_signed_token_is_stored_once_and_stays_revoked(tokens: TokenStore) -> None:
    assert await tokens.adopt_signed(claims(1), NOW)
    assert await tokens.adopt_signed(claims(1), NOW)
    assert await tokens.find_token(claims(1).digest) == claims(1)
    await tokens.revoke_token(1)
    assert not await tokens.adopt_signed(claims(1), NOW)


async def test_signed_tokens_are_refused_once_all_sessions_ended_or_their_time_is_over(
    tokens: TokenStore,
) -> None:
    await tokens.revoke_tokens(1, app=7)
    assert await tokens.adopt_signed(claims(1), NOW)
    await tokens.revoke_tokens(1, keep=1)
    assert await tokens.find_token(claims(1).digest) is not None
    assert not await tokens.adopt_signed(claims(2), NOW)
    assert not await tokens.adopt_signed(claims(3, user=2), FAR)


async def test_closed_tokens_are_unavailable(open_tokens: Open) -> None:
    tokens = open_tokens()
    tokens.close()
    with pytest.raises(AccountsUnavailable):
        await tokens.find_token(b"one")
