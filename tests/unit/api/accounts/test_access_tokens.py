"""Signed tokens."""

import pytest

from api.accounts.access_tokens import TOKEN_LIFE_DAYS, AccessTokens
from api.accounts.errors import ExpiredToken, InvalidToken
from tests.support.manual_clock import ManualClock

SECRET = b"a secret of the tests"
DAY_MS = 24 * 60 * 60 * 1000
NOW = 1_700_000_000_000


def test_a_token_says_who_and_what_for() -> None:
    tokens = AccessTokens(SECRET, ManualClock(NOW))
    claims = tokens.read_claims(tokens.issue(7, ("user", "import")).encode())
    assert claims.user == 7
    assert sorted(claims.scopes) == ["import", "user"]


def test_a_token_is_good_in_another_process_with_the_same_secret() -> None:
    token = AccessTokens(SECRET, ManualClock(NOW)).issue(7)
    assert AccessTokens(SECRET, ManualClock(NOW)).read_claims(token.encode()).user == 7


def test_a_token_of_another_installation_is_refused() -> None:
    token = AccessTokens(b"another long secret", ManualClock(NOW)).issue(7)
    with pytest.raises(InvalidToken, match="not one of ours"):
        AccessTokens(SECRET, ManualClock(NOW)).read_claims(token.encode())


@pytest.mark.parametrize("place", [0, 10, -1])
def test_a_token_with_one_byte_changed_is_refused(place: int) -> None:
    tokens = AccessTokens(SECRET, ManualClock(NOW))
    token = bytearray(tokens.issue(7).encode())
    token[place] = ord("A") if token[place] != ord("A") else ord("E")
    with pytest.raises(InvalidToken):
        tokens.read_claims(bytes(token))


@pytest.mark.parametrize("token", [b"", b".", b"x", b"x.y", b"\xff\xfe.\xfd", b"a.b.c"])
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidToken):
        AccessTokens(SECRET, ManualClock(NOW)).read_claims(token)


def test_a_token_expires_also_where_it_was_read_before() -> None:
    clock = ManualClock(NOW)
    tokens = AccessTokens(SECRET, clock)
    token = tokens.issue(7).encode()
    clock.ms += TOKEN_LIFE_DAYS * DAY_MS - 1
    tokens.read_claims(token)
    clock.ms += 1
    for _ in range(2):
        with pytest.raises(ExpiredToken):
            tokens.read_claims(token)


def test_a_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        AccessTokens(b"short", ManualClock(NOW))
