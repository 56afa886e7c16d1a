"""Password hashes."""

import asyncio

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from api.accounts import passwords
from api.accounts.errors import TooManyHashes
from api.accounts.passwords import BoundedPasswordHasher, decoy_hash


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


def test_a_decoy_costs_what_a_hash_costs_and_no_password_matches_it() -> None:
    hasher = PasswordHasher(time_cost=2, memory_cost=64, parallelism=2)
    decoy = decoy_hash(hasher)
    assert not hasher.check_needs_rehash(decoy)
    with pytest.raises(VerifyMismatchError):  # it was compared, not refused as no hash
        hasher.verify(decoy, "correct horse")


async def test_two_hashes_of_one_password_differ(fast_hasher: BoundedPasswordHasher) -> None:
    assert await fast_hasher.hash("correct horse") != await fast_hasher.hash("correct horse")


async def test_checks_beyond_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    hasher = BoundedPasswordHasher(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    results = await asyncio.gather(
        *(hasher.matches(None, "guess") for _ in range(passwords.MAX_CONCURRENT + 3 + 2)),
        return_exceptions=True,
    )
    assert len([result for result in results if isinstance(result, TooManyHashes)]) == 2
    assert await hasher.matches(None, "guess") is False


async def test_a_hash_with_other_parameters_is_outdated(fast_hasher: BoundedPasswordHasher) -> None:
    stored = await fast_hasher.hash("correct horse")
    assert not fast_hasher.is_outdated(stored)
    assert BoundedPasswordHasher().is_outdated(stored)
