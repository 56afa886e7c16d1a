"""Signed tokens."""

import pytest

from api.auth import LIFE_DAYS, Tokens
from api.errors import Refused
from tests.clocks import HandClock

SECRET = b"a secret of the tests"
DAY_MS = 24 * 60 * 60 * 1000
NOW = 1_700_000_000_000


def test_a_token_says_who_and_what_for() -> None:
    tokens = Tokens(SECRET, HandClock(NOW))
    claims = tokens.read(tokens.issue(7, ("user", "import")).encode())
    assert claims.user == 7
    assert sorted(claims.scopes) == ["import", "user"]


def test_a_token_is_good_in_another_process_with_the_same_secret() -> None:
    token = Tokens(SECRET, HandClock(NOW)).issue(7)
    assert Tokens(SECRET, HandClock(NOW)).read(token.encode()).user == 7


def test_a_token_of_another_installation_is_refused() -> None:
    token = Tokens(b"another long secret", HandClock(NOW)).issue(7)
    with pytest.raises(Refused) as refused:
        Tokens(SECRET, HandClock(NOW)).read(token.encode())
    assert (refused.value.status, refused.value.code) == (401, "token-invalid")


@pytest.mark.parametrize("place", [0, 10, -1])
def test_a_token_with_one_byte_changed_is_refused(place: int) -> None:
    tokens = Tokens(SECRET, HandClock(NOW))
    token = bytearray(tokens.issue(7).encode())
    token[place] = ord("A") if token[place] != ord("A") else ord("E")
    with pytest.raises(Refused):
        tokens.read(bytes(token))


@pytest.mark.parametrize("token", [b"", b".", b"x", b"x.y", b"\xff\xfe.\xfd", b"a.b.c"])
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(Refused):
        Tokens(SECRET, HandClock(NOW)).read(token)


def test_a_token_expires_also_where_it_was_read_before() -> None:
    clock = HandClock(NOW)
    tokens = Tokens(SECRET, clock)
    token = tokens.issue(7).encode()
    clock.ms += LIFE_DAYS * DAY_MS - 1
    tokens.read(token)
    clock.ms += 1
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            tokens.read(token)
        assert refused.value.code == "token-expired"


def test_a_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Tokens(b"short", HandClock(NOW))
