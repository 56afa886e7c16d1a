"""Signed access tokens: whose they are, and what they allow.

A token is `<payload>.<mac>`, both URL-safe base64 without padding. The payload is JSON, the MAC is
HMAC-SHA256 over the payload's text under the installation's secret. Nothing is stored, so a token
can't be taken back before it expires; the tokens of a deleted account are refused all the same,
because its commands meet the log and its queries meet the profile's tombstone.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal

import msgspec

from api.accounts.errors import ExpiredToken, InvalidToken

USER_SCOPE: Final = "user"
IMPORT_SCOPE: Final = "import"
ANALYST_SCOPE: Final = "analyst"
OPERATOR_SCOPE: Final = "operator"

TokenScope = Literal["user", "import", "analyst", "operator"]
SCOPES: Final = (USER_SCOPE, IMPORT_SCOPE, ANALYST_SCOPE, OPERATOR_SCOPE)

TOKEN_LIFE_DAYS: Final = 30
_DAY_MS: Final = 24 * 60 * 60 * 1000
_CACHE_LIMIT: Final = 16_384


class TokenClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says. `expires` is Unix milliseconds."""

    user: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="u")
    scopes: frozenset[TokenScope] = msgspec.field(name="s")
    expires: int = msgspec.field(name="e")


class AccessTokens:
    """Issues and reads tokens under one secret (at least 16 bytes)."""

    def __init__(self, secret: bytes, clock_ms: Callable[[], int]) -> None:
        if len(secret) < 16:
            raise ValueError("the secret that signs tokens needs at least 16 bytes")
        self._secret = secret
        self._clock_ms = clock_ms
        self._claims_cache: dict[bytes, TokenClaims] = {}

    def issue(
        self, user: int, scopes: Iterable[TokenScope] = (USER_SCOPE,), days: float = TOKEN_LIFE_DAYS
    ) -> str:
        """A token for a user that is good for `days`."""
        expires = self._clock_ms() + int(days * _DAY_MS)
        payload = _base64(msgspec.json.encode(TokenClaims(user, frozenset(scopes), expires)))
        return (payload + b"." + self._mac(payload)).decode("ascii")

    def read_claims(self, token: bytes) -> TokenClaims:
        """What a token says. Raises `InvalidToken`, `ExpiredToken`."""
        claims = self._claims_cache.get(token)
        if claims is None:
            claims = self._verified_claims(token)
            if len(self._claims_cache) >= _CACHE_LIMIT:
                self._claims_cache.clear()
            self._claims_cache[token] = claims
        if claims.expires <= self._clock_ms():
            del self._claims_cache[token]
            raise ExpiredToken("the token has expired: sign in again")
        return claims

    def _verified_claims(self, token: bytes) -> TokenClaims:
        payload, _, mac = token.partition(b".")
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise InvalidToken("the token is not one of ours: sign in again")
        try:
            return msgspec.json.decode(urlsafe_b64decode(payload + b"=="), type=TokenClaims)
        except (ValueError, msgspec.DecodeError) as error:
            # Signed by us, so an older or newer version of the program wrote it.
            raise InvalidToken("the token is of another version: sign in again") from error

    def _mac(self, payload: bytes) -> bytes:
        return _base64(hmac.digest(self._secret, payload, hashlib.sha256))


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
