"""Tokens of the former, signed kind."""

import pytest

from api.accounts.errors import InvalidToken
from api.accounts.signed_tokens import SignedTokens
from tests.support.manual_clock import ManualClock
from tests.support.signed_tokens import SignedTokenIssuer

SECRET = b"a secret of the tests"
NOW = 1_700_000_000_000


def new_token(secret: bytes = SECRET) -> bytes:
    return SignedTokenIssuer(secret, ManualClock(NOW)).issue(7, ("user", "import")).encode()


def test_a_token_says_who_and_what_for() -> None:
    said = SignedTokens(SECRET).read_signed(new_token())
    assert (said.user, said.scopes) == (7, frozenset({"import", "user"}))


def test_a_token_of_another_installation_is_refused() -> None:
    with pytest.raises(InvalidToken, match="not one of ours"):
        SignedTokens(SECRET).read_signed(new_token(b"another long secret"))


@pytest.mark.parametrize("place", [0, 10, -1])
def test_a_token_with_one_byte_changed_is_refused(place: int) -> None:
    token = bytearray(new_token())
    token[place] = ord("A") if token[place] != ord("A") else ord("E")
    with pytest.raises(InvalidToken):
        SignedTokens(SECRET).read_signed(bytes(token))


@pytest.mark.parametrize("token", [b"", b".", b"x", b"x.y", b"\xff\xfe.\xfd", b"a.b.c"])
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidToken):
        SignedTokens(SECRET).read_signed(token)


def test_a_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        SignedTokens(b"short")
