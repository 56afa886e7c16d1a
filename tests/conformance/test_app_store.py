"""Apps and their codes beside the accounts, wherever they lie."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from api.accounts.errors import AccountsUnavailable
from api.accounts.token_store import TokenClaims, TokenStore
from api.oauth.app_store import AppRecord, AppStore, CodeRecord
from infra.sqlite.access_tokens import SqliteTokens
from infra.sqlite.oauth_apps import SqliteApps

NOW = 1_700_000_000_000
APP = AppRecord(
    7, b"digest", "Phone", None, ("a:/b", "https://c.example/"), frozenset({"read", "push"}), NOW
)


class Stores(NamedTuple):
    """Two processes' apps, and the tokens beside them."""

    apps: AppStore
    others: AppStore
    tokens: TokenStore


def code(number: int, user: int = 1, app: int = 7, expires: int = NOW + 1000) -> CodeRecord:
    return CodeRecord(b"code %d" % number, app, user, "a:/b", "read push", "challenge", expires)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if request.param == "sqlite":
        path = tmp_path / "accounts.sqlite"
        opened = Stores(SqliteApps(path), SqliteApps(path), SqliteTokens(path))
        yield opened
    else:
        from infra.mongodb.access_tokens import MongoTokens
        from infra.mongodb.oauth_apps import MongoApps
        from tests.support.engines.mongodb_views import temporary_database

        async with temporary_database(request.getfixturevalue("mongodb")) as database:
            both = database.blocking
            opened = Stores(MongoApps(both), MongoApps(both), MongoTokens(both))
            yield opened
    for store in opened:
        store.close()


async def test_apps_are_found_as_they_were_stored(stores: Stores) -> None:
    other = APP._replace(id=8, website="https://x.example")
    for one in (APP, other):
        await stores.apps.add_app(one)
    assert await stores.others.find_apps([7, 8, 9]) == {7: APP, 8: other}
    assert await stores.others.find_apps([]) == {}


async def test_a_code_is_spent_once(stores: Stores) -> None:
    await stores.apps.add_code(code(1), NOW)
    assert await stores.others.find_code(b"code 1") == code(1)
    tries = [await one.spend_code(b"code 1") for one in (stores.apps, stores.others, stores.apps)]
    assert tries == [True, False, False]
    assert await stores.apps.find_code(b"code 1") == code(1)
    assert await stores.apps.find_code(b"another") is None
    assert not await stores.apps.spend_code(b"another")


async def test_a_new_code_removes_those_that_have_expired(stores: Stores) -> None:
    await stores.apps.add_code(code(1), NOW)
    await stores.apps.add_code(code(2, expires=NOW + 9000), NOW + 1000)
    found = [await stores.apps.find_code(b"code %d" % number) for number in (1, 2)]
    assert found == [None, code(2, expires=NOW + 9000)]


async def test_codes_of_a_user_go_where_the_sessions_end(stores: Stores) -> None:
    for one in (code(1), code(2, app=8), code(3, user=2)):
        await stores.apps.add_code(one, NOW)
    await stores.tokens.revoke_tokens(1, app=7)
    there = [await stores.apps.find_code(b"code %d" % number) for number in (1, 2, 3)]
    assert there == [None, code(2, app=8), code(3, user=2)]
    await stores.tokens.revoke_tokens(1)
    assert await stores.apps.find_code(b"code 2") is None
    assert await stores.apps.find_code(b"code 3") == code(3, user=2)


async def test_a_closed_store_is_unavailable(stores: Stores) -> None:
    stores.apps.close()
    with pytest.raises(AccountsUnavailable):
        await stores.apps.find_apps([7])


async def test_old_apps_without_a_token_and_a_code_are_removed_so_many_at_once(
    stores: Stores,
) -> None:
    for id in range(7, 14):
        await stores.apps.add_app(APP._replace(id=id, made_ms=NOW + id))
    claims = TokenClaims(1, b"token", 1, 8, frozenset({"read"}), NOW, NOW, NOW + 9000)
    await stores.tokens.add_token(claims)
    await stores.tokens.add_token(claims._replace(id=2, digest=b"alone", user=0, app=9))
    await stores.tokens.revoke_token(1)
    await stores.apps.add_code(code(1, app=10), NOW)
    assert await stores.apps.remove_unused(NOW, 100) == 0
    removed = [await stores.others.remove_unused(NOW + 13, 2) for _ in range(3)]
    assert removed == [2, 1, 0]
    assert list(await stores.apps.find_apps(range(7, 14))) == [8, 9, 10, 13]
