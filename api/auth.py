"""Signed tokens: who asks, and what they may do.

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

from api.errors import Refused

USER: Final = "user"
IMPORT: Final = "import"
ANALYST: Final = "analyst"
OPERATOR: Final = "operator"

Scope = Literal["user", "import", "analyst", "operator"]
SCOPES: Final = (USER, IMPORT, ANALYST, OPERATOR)

LIFE_DAYS: Final = 30
_DAY_MS: Final = 24 * 60 * 60 * 1000
_CACHED: Final = 16_384


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says. `expires` is Unix milliseconds."""

    user: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="u")
    scopes: frozenset[Scope] = msgspec.field(name="s")
    expires: int = msgspec.field(name="e")


def unauthorized(code: str, message: str) -> Refused:
    """A 401 with the header that RFC 6750 wants."""
    return Refused(401, code, message, [(b"www-authenticate", b"Bearer")])


class Tokens:
    """Issues and reads tokens under one secret (at least 16 bytes)."""

    def __init__(self, secret: bytes, clock_ms: Callable[[], int]) -> None:
        if len(secret) < 16:
            raise ValueError("the secret that signs tokens needs at least 16 bytes")
        self._secret = secret
        self._clock_ms = clock_ms
        self._read: dict[bytes, Claims] = {}

    def issue(self, user: int, scopes: Iterable[Scope] = (USER,), days: float = LIFE_DAYS) -> str:
        """A token for a user that is good for `days`."""
        expires = self._clock_ms() + int(days * _DAY_MS)
        payload = _base64(msgspec.json.encode(Claims(user, frozenset(scopes), expires)))
        return (payload + b"." + self._mac(payload)).decode("ascii")

    def read(self, token: bytes) -> Claims:
        """What a token says. Raises `Refused` (401) for a forged, mangled or expired one."""
        claims = self._read.get(token)
        if claims is None:
            claims = self._verify(token)
            if len(self._read) >= _CACHED:
                self._read.clear()
            self._read[token] = claims
        if claims.expires <= self._clock_ms():
            del self._read[token]
            raise unauthorized("token-expired", "the token has expired: sign in again")
        return claims

    def _verify(self, token: bytes) -> Claims:
        payload, _, mac = token.partition(b".")
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise unauthorized("token-invalid", "the token is not one of ours: sign in again")
        try:
            return msgspec.json.decode(urlsafe_b64decode(payload + b"=="), type=Claims)
        except (ValueError, msgspec.DecodeError) as error:
            # Signed by us, so an older or newer version of the program wrote it.
            message = "the token is of another version: sign in again"
            raise unauthorized("token-invalid", message) from error

    def _mac(self, payload: bytes) -> bytes:
        return _base64(hmac.digest(self._secret, payload, hashlib.sha256))


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
