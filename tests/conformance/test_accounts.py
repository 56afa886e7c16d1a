"""The accounts beside the log, wherever they lie."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from api.accounts.account_store import AccountRecord, AccountStore, TimelineMarker
from api.accounts.errors import AccountsUnavailable, EmailTaken
from infra.sqlite.accounts import SqliteAccounts

ADA = AccountRecord(1, "Ada@Example.org", "$argon2id$ada", 1_700_000_000_000)

Open = Callable[[], AccountStore]
"""Opens the same accounts once more, as another process would."""


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def open_accounts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "sqlite":
        yield lambda: SqliteAccounts(tmp_path / "accounts.sqlite")
        return
    from infra.mongodb.accounts import MongoAccounts
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        yield lambda: MongoAccounts(opened.blocking)


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


async def test_putting_again_replaces_all_but_the_time(accounts: AccountStore) -> None:
    await accounts.put(ADA)
    await accounts.put(AccountRecord(1, "countess@example.org", "$argon2id$new", 5))
    assert await accounts.get(1) == AccountRecord(
        1, "countess@example.org", "$argon2id$new", ADA.created_ms
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
    await accounts.put(verified._replace(password_hash="$argon2id$new"))
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
