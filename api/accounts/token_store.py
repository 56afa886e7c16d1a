"""The port to the access tokens: who may do what, kept beside the accounts and never in the log.

A token itself is not stored, only its SHA-256: a copy of the store opens nothing. Revoking leaves
the row until it expires, with the number of its revocation; by those numbers every process learns
what it must not answer from its cache any more. The adapters are in `infra.sqlite` and
`infra.mongodb`.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class TokenClaims(NamedTuple):
    """What a token says. Times are Unix milliseconds; `used_ms` is at most an hour too old.

    `user` is 0 for a token of an app alone; `app` is None where a user signed in without one.
    """

    id: int
    digest: bytes
    user: int
    app: int | None
    scopes: frozenset[str]
    made_ms: int
    used_ms: int
    expires_ms: int


class Revocations(NamedTuple):
    """The number of the last revocation, and the digests of the tokens that were asked about."""

    last: int
    digests: Sequence[bytes]


class TokenStore(Protocol):
    """Tokens by digest. Every method may raise `AccountsUnavailable`; writes are durable on
    return.
    """

    async def add_token(self, claims: TokenClaims) -> None:
        """Store a new token."""
        ...

    async def adopt_signed(self, claims: TokenClaims, now_ms: int) -> bool:
        """Store a token of the former, signed kind, unless it is there. False where it is refused:
        it was revoked, all sessions of its user were ended, or the time of signed tokens is over.
        """
        ...

    async def find_token(self, digest: bytes) -> TokenClaims | None:
        """The token with this digest, unless it was revoked; it may have expired."""
        ...

    async def tokens_of(self, user: int, now_ms: int) -> Sequence[TokenClaims]:
        """The tokens of a user that are good, the newest first."""
        ...

    async def revoke_token(self, id: int, user: int | None = None) -> bool:
        """Revoke one token, of this user if one is given. False where there is none (any more)."""
        ...

    async def revoke_tokens(
        self, user: int, *, keep: int | None = None, app: int | None = None
    ) -> int:
        """Revoke the tokens of a user but `keep`; with `app` those of this app alone. Returns how
        many. Codes that the user gave to apps, or to this one, are removed in the same step.
        Without `app`, signed tokens that were never seen are refused as well.
        """
        ...

    async def note_use(self, ids: Sequence[int], now_ms: int) -> None:
        """Remember that tokens were used now."""
        ...

    async def revoked_after(self, number: int | None) -> Revocations:
        """The revocations after one; with None only the number of the last."""
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...
