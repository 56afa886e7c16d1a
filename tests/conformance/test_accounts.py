"""The accounts beside the log, wherever they lie."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from api.accounts.account_store import AccountRecord, AccountStore, TimelineMarker
from api.accounts.errors import AccountsUnavailable, EmailTaken
from api.accounts.token_store import TokenClaims, TokenStore
from infra.sqlite import accounts as accounts_module
from infra.sqlite.access_tokens import SqliteTokens
from infra.sqlite.accounts import SqliteAccounts

ADA = AccountRecord(1, "Ada@Example.org", "$argon2id$ada", 1_700_000_000_000)

Open = Callable[[], AccountStore]
"""Opens the same accounts once more, as another process would."""


class AccountsPlace(NamedTuple):
    """Where accounts lie, and the tokens beside them."""

    open_accounts: Open
    open_tokens: Callable[[], TokenStore]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AccountsPlace]:
    if request.param == "sqlite":
        path = tmp_path / "accounts.sqlite"
        yield AccountsPlace(lambda: SqliteAccounts(path), lambda: SqliteTokens(path))
        return
    from infra.mongodb.access_tokens import MongoTokens
    from infra.mongodb.accounts import MongoAccounts
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        both = opened.blocking
        yield AccountsPlace(lambda: MongoAccounts(both), lambda: MongoTokens(both))


@pytest.fixture
def open_accounts(place: AccountsPlace) -> Open:
    return place.open_accounts


@pytest.fixture
async def tokens(place: AccountsPlace) -> AsyncIterator[TokenStore]:
    opened = place.open_tokens()
    yield opened
    opened.close()


@pytest.fixture
async def accounts(open_accounts: Open) -> AsyncIterator[AccountStore]:
    opened = open_accounts()
    yield opened
    opened.close()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[SqliteAccounts]:
    opened = SqliteAccounts(tmp_path / "accounts.sqlite")
    yield opened
    opened.close()


def content_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode for file in folder.iterdir()}


async def test_an_account_is_found_by_its_user_and_its_email(accounts: AccountStore) -> None:
    await accounts.put(ADA)
    assert await accounts.get(1) == ADA
    assert await accounts.find_by_email("ada@example.ORG") == ADA
    assert await accounts.get(2) is None
    assert await accounts.find_by_email("bob@example.org") is None


async def test_an_opt_out_of_clicks_is_remembered_until_the_account_is_erased(
    accounts: AccountStore,
) -> None:
    await accounts.put(ADA)
    assert not await accounts.opted_out_of_clicks(1)
    for out in (True, True, False, False, True):
        await accounts.opt_out_of_clicks(1, out)
        assert await accounts.opted_out_of_clicks(1) == out
    assert await accounts.get(1) == ADA
    assert not await accounts.opted_out_of_clicks(2)
    await accounts.remove(1)
    assert not await accounts.opted_out_of_clicks(1)


async def test_markers_count_how_often_they_were_moved_and_go_with_the_account(
    accounts: AccountStore,
) -> None:
    assert await accounts.read_markers(1) == {}
    assert await accounts.move_marker(1, "home", 2**62, 5) == TimelineMarker(2**62, 1, 5)
    await accounts.move_marker(1, "notifications", 9, 6)
    await accounts.move_marker(2, "home", 8, 6)
    assert await accounts.move_marker(1, "home", 7, 9) == TimelineMarker(7, 2, 9)
    there = {"home": TimelineMarker(7, 2, 9), "notifications": TimelineMarker(9, 1, 6)}
    assert await accounts.read_markers(1) == there
    await accounts.remove(1)
    assert await accounts.read_markers(1) == {}
    assert len(await accounts.read_markers(2)) == 1


async def test_an_email_belongs_to_one_account_in_any_case(accounts: AccountStore) -> None:
    await accounts.put(ADA)
    with pytest.raises(EmailTaken):
        await accounts.put(AccountRecord(2, "ADA@example.org", None, 0))
    assert await accounts.get(2) is None


async def test_accounts_without_an_email_do_not_collide(accounts: AccountStore) -> None:
    await accounts.put(AccountRecord(1, None, None, 0))
    await accounts.put(AccountRecord(2, None, "$argon2id$bob", 0))
    assert (await accounts.get(2)) == AccountRecord(2, None, "$argon2id$bob", 0)


async def test_another_address_leaves_the_password_that_was_changed_meanwhile(
    accounts: AccountStore,
) -> None:
    await accounts.put(ADA)
    assert await accounts.change_password(1, ADA.password_hash, "$argon2id$new", keep=None)
    await accounts.put(ADA._replace(email="countess@example.org", created_ms=5))
    assert await accounts.get(1) == ADA._replace(
        email="countess@example.org", password_hash="$argon2id$new"
    )
    assert await accounts.find_by_email("ada@example.org") is None


async def test_an_erased_account_is_gone_and_its_email_is_free(accounts: AccountStore) -> None:
    await accounts.put(ADA)
    await accounts.remove(1)
    await accounts.remove(1)
    assert await accounts.get(1) is None
    await accounts.put(AccountRecord(2, "ada@example.org", None, 0))
    assert await accounts.find_by_email("Ada@example.org") == AccountRecord(
        2, "ada@example.org", None, 0
    )


async def test_a_hash_is_replaced_where_it_is_still_the_same(accounts: AccountStore) -> None:
    await accounts.put(ADA)
    await accounts.replace_password_hash(1, "$argon2id$other", "$argon2id$renewed")
    assert await accounts.get(1) == ADA
    await accounts.replace_password_hash(1, "$argon2id$ada", "$argon2id$renewed")
    assert await accounts.get(1) == ADA._replace(password_hash="$argon2id$renewed")


async def test_replacing_a_hash_says_whether_it_was_still_the_same(accounts: AccountStore) -> None:
    await accounts.put(ADA)
    assert await accounts.replace_password_hash(1, "$argon2id$ada", "$argon2id$renewed")
    assert not await accounts.replace_password_hash(1, "$argon2id$ada", "$argon2id$other")
    await accounts.put(AccountRecord(2, "bob@example.org", None, 0))
    assert await accounts.replace_password_hash(2, None, "$argon2id$bob")
    assert not await accounts.replace_password_hash(2, None, "$argon2id$other")
    assert not await accounts.replace_password_hash(3, None, "$argon2id$other")


def session(id: int, user: int = 1) -> TokenClaims:
    digest, scopes = b"digest %d" % id, frozenset({"user"})
    return TokenClaims(id, digest, user, None, scopes, 0, 0, 4_000_000_000_000)


async def test_another_password_ends_the_sessions_of_before_in_the_same_step(
    accounts: AccountStore, tokens: TokenStore
) -> None:
    await accounts.put(ADA)
    for one in (session(1), session(2), session(3, user=2)):
        await tokens.add_token(one)
    before, _ = await tokens.revoked_after(None)
    assert not await accounts.change_password(1, "$argon2id$other", "$argon2id$new", keep=None)
    assert not await accounts.change_password(9, None, "$argon2id$new", keep=None)
    assert await tokens.revoked_after(before) == (before, ())
    assert await accounts.change_password(1, "$argon2id$ada", "$argon2id$new", keep=2)
    assert await accounts.get(1) == ADA._replace(password_hash="$argon2id$new")
    assert (await tokens.revoked_after(before)).digests == [session(1).digest]
    assert [one.id for one in await tokens.tokens_of(1, 0)] == [2]
    assert not await tokens.adopt_signed(session(4), 0)
    assert await accounts.change_password(1, "$argon2id$new", "$argon2id$ada", keep=None)
    assert await tokens.tokens_of(1, 0) == []
    assert [one.id for one in await tokens.tokens_of(2, 0)] == [3]


async def test_a_stop_between_the_new_password_and_the_end_of_the_sessions_leaves_both_as_they_were(
    accounts: AccountStore, tokens: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts.put(ADA)
    await tokens.add_token(session(1))

    def stop(*arguments: object) -> int:
        raise KilledBetween

    with monkeypatch.context() as patch:
        if isinstance(accounts, SqliteAccounts):
            patch.setattr("infra.sqlite.accounts.revoke_all_tokens", stop)
        else:
            patch.setattr("infra.mongodb.access_tokens.TokenRevoker.revoke_all", stop)
        with pytest.raises(KilledBetween):
            await accounts.change_password(1, "$argon2id$ada", "$argon2id$new", keep=None)
    assert await accounts.get(1) == ADA
    assert [one.id for one in await tokens.tokens_of(1, 0)] == [1]
    assert await accounts.change_password(1, "$argon2id$ada", "$argon2id$new", keep=None)
    assert await tokens.tokens_of(1, 0) == []


class KilledBetween(Exception):
    """Between two writes."""


def _change_and_die(path: Path) -> None:
    def die(*arguments: object) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    vars(accounts_module)["revoke_all_tokens"] = die
    accounts = SqliteAccounts(path)
    asyncio.run(accounts.change_password(1, "$argon2id$ada", "$argon2id$new", keep=None))


async def test_a_process_that_is_killed_in_between_has_changed_no_password(
    files: SqliteAccounts, tmp_path: Path
) -> None:
    await files.put(ADA)
    path = tmp_path / "accounts.sqlite"
    process = multiprocessing.get_context("spawn").Process(target=_change_and_die, args=(path,))
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL
    assert await files.get(1) == ADA


async def test_an_email_address_is_verified_until_the_account_is_put_without(
    accounts: AccountStore,
) -> None:
    await accounts.put(ADA)
    assert not await accounts.mark_email_verified(1, "another@example.org")
    assert not await accounts.mark_email_verified(2, "Ada@Example.org")
    assert await accounts.get(1) == ADA
    assert await accounts.mark_email_verified(1, "Ada@Example.org")
    verified = ADA._replace(email_verified=True)
    assert await accounts.get(1) == verified
    await accounts.put(verified)
    assert (await accounts.get(1) or ADA).email_verified
    await accounts.put(ADA)
    assert await accounts.get(1) == ADA


async def test_no_hash_comes_back_after_its_account_was_erased(accounts: AccountStore) -> None:
    await accounts.replace_password_hash(1, "$argon2id$ada", "$argon2id$renewed")
    assert await accounts.get(1) is None


async def test_another_process_sees_what_was_put(
    accounts: AccountStore, open_accounts: Open
) -> None:
    other = open_accounts()
    await accounts.put(ADA)
    assert await other.get(1) == ADA
    with pytest.raises(EmailTaken):
        await other.put(AccountRecord(2, "ada@example.org", None, 0))
    other.close()


async def test_closed_accounts_are_unavailable(open_accounts: Open) -> None:
    accounts = open_accounts()
    accounts.close()
    with pytest.raises(AccountsUnavailable):
        await accounts.get(1)


async def test_an_erased_account_is_gone_from_the_files_too(
    files: SqliteAccounts, tmp_path: Path
) -> None:
    await files.put(ADA)
    await files.remove(1)
    await files.remove(1)
    assert await files.get(1) is None
    kept = content_of(tmp_path)
    assert b"xample.org" not in kept
    assert b"argon2id$ada" not in kept


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccountsUnavailable, match="nowhere"):
        SqliteAccounts(tmp_path / "nowhere" / "accounts.sqlite")


async def test_only_the_owner_may_read_the_files(files: SqliteAccounts, tmp_path: Path) -> None:
    await files.put(ADA)
    modes = modes_in(tmp_path)
    assert "accounts.sqlite" in modes
    assert {mode & 0o077 for mode in modes.values()} == {0}
