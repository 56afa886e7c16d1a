"""Tokens of the former, signed kind, which tests make without asking a store."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable

import msgspec

from api.accounts.signed_tokens import SignedClaims, SignedTokens


class SignedTokenIssuer:
    """Signs tokens as Starling did before it stored them."""

    def __init__(self, secret: bytes, clock_ms: Callable[[], int]) -> None:
        self._signed = SignedTokens(secret)
        self._clock_ms = clock_ms

    def issue(self, user: int, scopes: Iterable[str] = ("user",), days: float = 30) -> str:
        """A token for a user that is good for `days`."""
        expires = self._clock_ms() + int(days * 24 * 60 * 60 * 1000)
        said = msgspec.json.encode(SignedClaims(user, frozenset(scopes), expires))
        payload = urlsafe_b64encode(said).rstrip(b"=")
        return (payload + b"." + self._signed.mac(payload)).decode("ascii")
