"""Password hashes."""

import asyncio

import pytest
from argon2 import PasswordHasher

from api.accounts import passwords
from api.accounts.passwords import BoundedPasswordHasher
from api.http.errors import RequestRefused


@pytest.fixture
def quick() -> BoundedPasswordHasher:
    return BoundedPasswordHasher(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def test_a_password_matches_its_hash_and_no_other(quick: BoundedPasswordHasher) -> None:
    kept = await quick.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert "correct horse" not in kept
    assert await quick.matches(kept, "correct horse")
    assert not await quick.matches(kept, "correct house")
    assert not await quick.matches(None, "correct horse")
    assert not await quick.matches("no hash", "correct horse")


async def test_two_hashes_of_one_password_differ(quick: BoundedPasswordHasher) -> None:
    assert await quick.hash("correct horse") != await quick.hash("correct horse")


async def test_checks_beyond_the_bound_are_refused(
    quick: BoundedPasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    came = await asyncio.gather(
        *(quick.matches(None, "guess") for _ in range(5)), return_exceptions=True
    )
    refused = [one for one in came if isinstance(one, RequestRefused)]
    assert len(refused) == 2
    assert {one.status for one in refused} == {503}
    assert await quick.matches(None, "guess") is False
