"""Access tokens of the former kind, for those who signed in before tokens were stored.

Such a token is `<payload>.<mac>`, both URL-safe base64 without padding. The payload is JSON, the
MAC is HMAC-SHA256 over the payload's text under the installation's secret. None is made any more.
One that is sent is entered into the store at first sight, so that it can be revoked like the
others, until 30 days after the store was made (`docs/adr/0068`).
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

import msgspec

from api.accounts.errors import InvalidToken


class SignedClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a signed token says. `expires` is Unix milliseconds."""

    user: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="u")
    scopes: frozenset[str] = msgspec.field(name="s")
    expires: int = msgspec.field(name="e")


class SignedTokens:
    """Reads tokens that were signed under one secret (at least 16 bytes)."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret that signed tokens needs at least 16 bytes")
        self._secret = secret

    def read_signed(self, token: bytes) -> SignedClaims:
        """What a token says, expired or not. Raises `InvalidToken`."""
        payload, _, mac = token.partition(b".")
        if not hmac.compare_digest(mac, self.mac(payload)):
            raise InvalidToken("the token is not one of ours: sign in again")
        try:
            return msgspec.json.decode(urlsafe_b64decode(payload + b"=="), type=SignedClaims)
        except (ValueError, msgspec.DecodeError) as error:
            # Signed by us, so an older or newer version of the program wrote it.
            raise InvalidToken("the token is of another version: sign in again") from error

    def mac(self, payload: bytes) -> bytes:
        """The authentication code of a payload."""
        digest = hmac.digest(self._secret, payload, hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=")
