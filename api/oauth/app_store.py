"""The port to apps and their authorization codes, which lie beside the access tokens.

Of secrets and codes only the SHA-256 is stored. Where the tokens of a user are revoked, the codes
that the user gave to apps go in the same transaction (`TokenStore.revoke_tokens`). The adapters are
in `infra.sqlite` and `infra.mongodb`.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol


class AppRecord(NamedTuple):
    """An app, as it was registered. `made_ms` is Unix milliseconds."""

    id: int
    secret_digest: bytes
    name: str
    website: str | None
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    made_ms: int


class CodeRecord(NamedTuple):
    """What a user allowed an app that comes with a code. `expires_ms` is Unix milliseconds.

    `scope` has the scopes in the order in which they were asked for; `challenge` is that of PKCE.
    """

    digest: bytes
    app: int
    user: int
    redirect_uri: str
    scope: str
    challenge: str | None
    expires_ms: int


class AppStore(Protocol):
    """Apps by id, codes by digest. Every method may raise `AccountsUnavailable`; writes are durable
    on return.
    """

    async def add_app(self, app: AppRecord) -> None:
        """Store a new app."""
        ...

    async def find_apps(self, ids: Collection[int]) -> Mapping[int, AppRecord]:
        """Those of some apps that there are."""
        ...

    async def remove_unused(self, made_before_ms: int, most: int) -> int:
        """Remove at most so many of the apps that were registered before then and have no token
        and no code. Returns how many.
        """
        ...

    async def add_code(self, code: CodeRecord, now_ms: int) -> None:
        """Store a new code, and remove those that have expired."""
        ...

    async def find_code(self, digest: bytes) -> CodeRecord | None:
        """The code with this digest, spent or not; it may have expired."""
        ...

    async def spend_code(self, digest: bytes) -> bool:
        """Spend a code. True for one caller alone, False for all that come later."""
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...


def secret_digest(secret: str) -> bytes:
    """The digest of a secret or a code. Not a slow hash: both are random and can't be guessed."""
    return hashlib.sha256(secret.encode()).digest()
