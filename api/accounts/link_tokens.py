"""The signed part of links that reset a password or verify an email address.

A token is `<user>.<expires>.<mac>`. The MAC covers the purpose and what the link is bound to: the
hash of the password, or the address. So a link is worthless once that is another, and none works
for a purpose other than its own. Nothing is stored (`docs/adr/0082`).
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from api.accounts.errors import LinkInvalid
from events.ids.snowflake import parse_decimal

MINUTE_MS: Final = 60_000


class LinkPurpose(Enum):
    """What a link is for; the value stands in its fragment."""

    RESET_PASSWORD = "reset"
    VERIFY_EMAIL = "verify"

    @property
    def minutes(self) -> int:
        """How long such a link is good for."""
        return 60 if self is LinkPurpose.RESET_PASSWORD else 24 * 60


class LinkClaims(NamedTuple):
    """What a token says of itself: nothing of it is true before `LinkTokens.check` said so."""

    user: int
    expires_ms: int
    mac: str


class LinkTokens:
    """Signs and checks tokens of links."""

    def __init__(self, secret: bytes, clock_ms: Callable[[], int]) -> None:
        """`secret` is the installation's: a key for each purpose is derived from it."""
        self._keys = {
            purpose: hashlib.blake2b(secret, person=f"link-{purpose.value}".encode()).digest()
            for purpose in LinkPurpose
        }
        self._clock_ms = clock_ms

    def issue(self, purpose: LinkPurpose, user: int, bound_to: str) -> str:
        """A token that is good for an hour or a day, and while `bound_to` stays what it is."""
        expires_ms = self._clock_ms() + purpose.minutes * MINUTE_MS
        return f"{user}.{expires_ms}.{self._mac(purpose, user, expires_ms, bound_to)}"

    def check(self, purpose: LinkPurpose, claims: LinkClaims, bound_to: str) -> None:
        """Raises `LinkInvalid` unless it was signed for this, and its time isn't over."""
        mac = self._mac(purpose, claims.user, claims.expires_ms, bound_to)
        if not hmac.compare_digest(mac.encode(), claims.mac.encode()):
            raise LinkInvalid
        if claims.expires_ms <= self._clock_ms():
            raise LinkInvalid

    def _mac(self, purpose: LinkPurpose, user: int, expires_ms: int, bound_to: str) -> str:
        signed = f"{user}.{expires_ms}.{bound_to}".encode()
        digest = hmac.digest(self._keys[purpose], signed, hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def read_claims(token: str) -> LinkClaims:
    """What a token says of itself. Raises `LinkInvalid`."""
    user, _, rest = token.partition(".")
    expires, _, mac = rest.partition(".")
    user_id, expires_ms = parse_decimal(user), parse_decimal(expires)
    if user_id is None or expires_ms is None:
        raise LinkInvalid
    return LinkClaims(user_id, expires_ms, mac)
