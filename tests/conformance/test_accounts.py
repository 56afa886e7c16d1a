"""The accounts beside the log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.accounts import Account, AccountsUnavailable, EmailTaken
from infra.accounts import SqliteAccounts

ADA = Account(1, "Ada@Example.org", "$argon2id$ada", 1_700_000_000_000)


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[SqliteAccounts]:
    opened = SqliteAccounts(tmp_path / "accounts.sqlite")
    yield opened
    opened.close()


def content_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_an_account_is_found_by_its_user_and_its_email(accounts: SqliteAccounts) -> None:
    await accounts.put(ADA)
    assert await accounts.of(1) == ADA
    assert await accounts.with_email("ada@example.ORG") == ADA
    assert await accounts.of(2) is None
    assert await accounts.with_email("bob@example.org") is None


async def test_an_email_belongs_to_one_account_in_any_case(accounts: SqliteAccounts) -> None:
    await accounts.put(ADA)
    with pytest.raises(EmailTaken):
        await accounts.put(Account(2, "ADA@example.org", None, 0))
    assert await accounts.of(2) is None


async def test_accounts_without_an_email_do_not_collide(accounts: SqliteAccounts) -> None:
    await accounts.put(Account(1, None, None, 0))
    await accounts.put(Account(2, None, "$argon2id$bob", 0))
    assert (await accounts.of(2)) == Account(2, None, "$argon2id$bob", 0)


async def test_putting_again_replaces_all_but_the_time(accounts: SqliteAccounts) -> None:
    await accounts.put(ADA)
    await accounts.put(Account(1, "countess@example.org", "$argon2id$new", 5))
    assert await accounts.of(1) == Account(1, "countess@example.org", "$argon2id$new", ADA.created)
    assert await accounts.with_email("ada@example.org") is None


async def test_an_erased_account_is_gone_from_the_files_too(
    accounts: SqliteAccounts, tmp_path: Path
) -> None:
    await accounts.put(ADA)
    await accounts.remove(1)
    await accounts.remove(1)
    assert await accounts.of(1) is None
    kept = content_of(tmp_path)
    assert b"xample.org" not in kept
    assert b"argon2id$ada" not in kept


async def test_another_process_sees_what_was_put(accounts: SqliteAccounts, tmp_path: Path) -> None:
    other = SqliteAccounts(tmp_path / "accounts.sqlite")
    await accounts.put(ADA)
    assert await other.of(1) == ADA
    other.close()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccountsUnavailable, match="nowhere"):
        SqliteAccounts(tmp_path / "nowhere" / "accounts.sqlite")


async def test_closed_accounts_are_unavailable(tmp_path: Path) -> None:
    accounts = SqliteAccounts(tmp_path / "accounts.sqlite")
    accounts.close()
    with pytest.raises(AccountsUnavailable):
        await accounts.of(1)
