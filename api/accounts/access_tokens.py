"""Access tokens: opaque, stored as hashes, and revoked in every process within a second.

A request's token is found in this process's cache. The cache may be used while the revocations
were read in the last 0.8 s; a request that finds them older than 0.4 s has them read beside it. So
a request of an idle process, or of one that was stopped, waits for them first. Where the store
can't be reached, what is cached is good for 5 s after the last revocations that were read, and then
every token is refused (`docs/adr/0068`).
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from api.accounts.errors import AccountError, AccountsUnavailable, ExpiredToken, InvalidToken
from api.accounts.signed_tokens import SignedTokens
from api.accounts.token_store import TokenClaims, TokenStore

USER_SCOPE: Final = "user"
IMPORT_SCOPE: Final = "import"
ANALYST_SCOPE: Final = "analyst"
OPERATOR_SCOPE: Final = "operator"

SCOPES: Final = (USER_SCOPE, IMPORT_SCOPE, ANALYST_SCOPE, OPERATOR_SCOPE)
"""The scopes of `/v1`; apps have those of `api.accounts.app_scopes`, too."""

TOKEN_LIFE_DAYS: Final = 30
_DAY_MS: Final = 24 * 60 * 60 * 1000
_CACHE_LIMIT: Final = 16_384

REFRESH_SECONDS: Final = 0.4
"""Revocations that are older are read again, beside the requests."""
STALE_SECONDS: Final = 0.8
"""Requests wait for revocations that are older."""
TRUST_SECONDS: Final = 5.0
"""Nothing is accepted with revocations that are older."""
_WAIT_SECONDS: Final = 1.0
USED_SECONDS: Final = 60 * 60
"""How exactly the last use is known, and how long a token is cached."""

_logger = logging.getLogger(__name__)


class AccessTokens:
    """Issues, reads and revokes tokens. Made for one event loop."""

    def __init__(
        self,
        store: TokenStore,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        signed: SignedTokens | None = None,
    ) -> None:
        """`signed` reads tokens of the former kind; None refuses them."""
        self._store = store
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._signed = signed
        self._cache: dict[bytes, tuple[TokenClaims, float]] = {}
        self._cached_by_digest: dict[bytes, bytes] = {}
        self._revocation: int | None = None
        self._read_at = self._tried_at = float("-inf")
        self._refresh_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._used: list[int] = []

    async def issue(
        self,
        user: int,
        scopes: Iterable[str] = (USER_SCOPE,),
        days: float = TOKEN_LIFE_DAYS,
        app: int | None = None,
    ) -> str:
        """A new token that is good for `days`; `user` is 0 for one of an app alone."""
        token = secrets.token_urlsafe(32)
        now = self._clock_ms()
        digest, expires = _digest(token.encode()), now + int(days * _DAY_MS)
        claims = TokenClaims(
            _token_id(digest), digest, user, app, frozenset(scopes), now, now, expires
        )
        await self._store.add_token(claims)
        return token

    def cached_claims(self, token: bytes) -> TokenClaims | None:
        """What a token says; None where `read_claims` has to be asked."""
        now = self._monotonic()
        if now >= self._refresh_at and not self._may_use_cache(now):
            return None
        entry = self._cache.get(token)
        if entry is None or entry[1] <= now:
            return None
        return entry[0]

    async def read_claims(self, token: bytes) -> TokenClaims:
        """What a token says. Raises `InvalidToken`, `ExpiredToken`, `AccountsUnavailable`."""
        await self._require_recent_revocations()
        entry = self._cache.get(token)
        if entry is not None and entry[1] > self._monotonic():
            return entry[0]
        known = self._revocation
        digest = _digest(token)
        claims = await self._find(token, digest)
        now_ms = self._clock_ms()
        if claims.expires_ms <= now_ms:
            raise ExpiredToken("the token has expired: sign in again")
        if claims.used_ms < now_ms - USED_SECONDS * 1000:
            self._used.append(claims.id)
        if known == self._revocation:  # else it may have been revoked after it was found
            self._remember(token, claims, now_ms)
        return claims

    async def failures_of(self, tokens: Collection[bytes]) -> dict[bytes, AccountError]:
        """Those of some tokens, which were good, that hold no more, and why.

        One look at the revocations for all; those that are not cached are looked up at the same
        time. Where the store doesn't answer in some seconds, that is why.
        """
        try:
            await self._require_recent_revocations()
        except AccountsUnavailable as error:
            return dict.fromkeys(tokens, error)
        now = self._monotonic()
        good = {token for token in tokens if token in self._cache and self._cache[token][1] > now}
        unsure = [token for token in tokens if token not in good]
        found = await asyncio.gather(*map(self._failure_of, unsure))
        return {token: why for token, why in zip(unsure, found, strict=True) if why is not None}

    async def _failure_of(self, token: bytes) -> AccountError | None:
        try:
            async with asyncio.timeout(TRUST_SECONDS):
                await self.read_claims(token)
        except TimeoutError:
            return AccountsUnavailable("it can't be known whether the token was revoked")
        except AccountError as error:
            return error
        return None

    async def list_sessions(self, user: int) -> Sequence[TokenClaims]:
        """The tokens of a user that are good, the newest first."""
        return await self._store.tokens_of(user, self._clock_ms())

    async def end_session(self, id: int, user: int | None = None) -> bool:
        """Revoke one token, of this user if one is given. False where there is none."""
        ended = await self._store.revoke_token(id, user)
        await self._read_now()
        return ended

    async def end_sessions(
        self, user: int, *, keep: int | None = None, app: int | None = None
    ) -> int:
        """Revoke a user's tokens but `keep`, with `app` those of this app. Returns how many."""
        ended = await self._store.revoke_tokens(user, keep=keep, app=app)
        await self._read_now()
        return ended

    async def note_revocations(self) -> None:
        """Have this process, too, refuse what was revoked beside it: with a password, say."""
        await self._read_now()

    async def _find(self, token: bytes, digest: bytes) -> TokenClaims:
        claims = await self._store.find_token(digest)
        if claims is not None:
            return claims
        if self._signed is None or b"." not in token:
            raise InvalidToken("the token is not one of ours, or was revoked: sign in again")
        said, now = self._signed.read_signed(token), self._clock_ms()
        if said.expires <= now:
            raise ExpiredToken("the token has expired: sign in again")
        made = min(now, said.expires - TOKEN_LIFE_DAYS * _DAY_MS)  # it doesn't say when
        claims = TokenClaims(
            _token_id(digest), digest, said.user, None, said.scopes, made, now, said.expires
        )
        if not await self._store.adopt_signed(claims, now):
            raise InvalidToken("the token was revoked, or is of a former kind: sign in again")
        return claims

    def _remember(self, token: bytes, claims: TokenClaims, now_ms: int) -> None:
        if len(self._cache) >= _CACHE_LIMIT:
            oldest, _ = self._cache.pop(next(iter(self._cache)))
            self._cached_by_digest.pop(oldest.digest, None)
        seconds = min(USED_SECONDS, (claims.expires_ms - now_ms) / 1000)
        self._cache[token] = claims, self._monotonic() + seconds
        self._cached_by_digest[claims.digest] = token

    def _may_use_cache(self, now: float) -> bool:
        if now >= self._read_at + STALE_SECONDS:
            return False
        self._begin_reading(now)
        return True

    def _begin_reading(self, now: float) -> asyncio.Task[None] | None:
        """The reading that goes on; None where the last one failed just now."""
        if self._reading is None and now >= self._tried_at + REFRESH_SECONDS:
            self._reading = asyncio.get_running_loop().create_task(self._read_now())
            self._reading.add_done_callback(self._end_reading)
        return self._reading

    def _end_reading(self, task: asyncio.Task[None]) -> None:
        self._reading = None

    async def _require_recent_revocations(self) -> None:
        """Raises `AccountsUnavailable`."""
        now = self._monotonic()
        if now < self._read_at + STALE_SECONDS:
            return
        if (reading := self._begin_reading(now)) is not None:
            # A process that has just begun connects first, and trusts nothing yet.
            patience = TRUST_SECONDS if self._revocation is None else _WAIT_SECONDS
            await asyncio.wait({reading}, timeout=patience)
        if self._monotonic() >= self._read_at + TRUST_SECONDS:
            raise AccountsUnavailable("it can't be known which tokens were revoked")

    async def _read_now(self) -> None:
        self._tried_at = began = self._monotonic()
        used, self._used = self._used, []
        try:
            last, digests = await self._store.revoked_after(self._revocation)
            self._forget(last, digests)
            self._read_at = max(self._read_at, began)
            self._refresh_at = self._read_at + REFRESH_SECONDS
            if used:
                await self._store.note_use(used, self._clock_ms())
        except AccountsUnavailable as error:
            _logger.warning("revocations of tokens can't be read now: %s", error)

    def _forget(self, last: int, digests: Sequence[bytes]) -> None:
        if self._revocation is not None and last < self._revocation:
            # An older copy of the store was put in its place.
            self._cache.clear()
            self._cached_by_digest.clear()
        for digest in digests:
            token = self._cached_by_digest.pop(digest, None)
            if token is not None:
                self._cache.pop(token, None)
        self._revocation = last


def _digest(token: bytes) -> bytes:
    # Not a slow hash: 256 random bits can't be guessed.
    return hashlib.sha256(token).digest()


def _token_id(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") >> 1
