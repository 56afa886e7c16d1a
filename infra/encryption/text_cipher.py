"""Sealing personal texts on their way into the log, and opening them for readers.

Two keys seal a text: that of its author's account, and one of its own. Either is enough to destroy:
deleting an account destroys one key, deleting a post the keys of its versions. Both come out of a
`TextKeyStore`. The key in use is derived from the two by keyed BLAKE2b (RFC 7693, as libsodium's
`crypto_kdf` does it) and seals one text only, with AES-256-GCM. So its nonce may be constant.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commands.handler import Append
from events.log import AppendRequest, AppendResult, NewEvent
from events.schema import Event
from events.sealed_text import (
    ERASED,
    PERSONAL_FIELDS,
    SealedText,
    count_texts,
    map_texts,
    owner_of_texts,
    parse_sealed,
)

_NONCE: Final = bytes(12)
_PURPOSE: Final = b"starling text"
_logger = logging.getLogger(__name__)


class TextKeyStore(Protocol):
    """The keys of texts. Methods block for a moment and may raise `LogUnavailable`."""

    def make_account_keys(self, accounts: Collection[int]) -> None:
        """Make a key for each of these accounts that never had one. Durable on return."""
        ...

    def reserve_text_keys(self) -> list[tuple[int, bytes]]:
        """Some new keys of texts with their numbers, which no other call ever gets. Durable on
        return."""
        ...

    def find_account_key(self, account: int) -> bytes | None:
        """The key of an account; empty where it was destroyed, None where there never was one."""
        ...

    def find_text_key(self, number: int) -> bytes | None:
        """The key of a text; empty where it was destroyed, None where there never was one."""
        ...


class TextCipher:
    """Seals and opens with the keys of a store. One event loop seals; any thread may open."""

    def __init__(self, store: TextKeyStore) -> None:
        self._store = store
        self._unused_keys: deque[tuple[int, bytes]] = deque()
        self._accounts_without_key: set[int] = set()
        self._making_keys = asyncio.Lock()

    def sealing(self, append: Append) -> Append:
        """An append that seals the texts of its request first."""

        async def seal_and_append(request: AppendRequest) -> AppendResult:
            return await append(await self.seal(request))

        return seal_and_append

    async def seal(self, append: AppendRequest) -> AppendRequest:
        """An append with its personal texts sealed. Raises `LogUnavailable`."""
        personal = [
            event
            for write in append.writes
            for _, event in write.events
            if type(event) in PERSONAL_FIELDS
        ]
        if not personal:
            return append
        await self._await_keys(
            frozenset(map(owner_of_texts, personal)), sum(map(count_texts, personal))
        )
        writes = tuple(
            write._replace(
                events=tuple(NewEvent(id, self._seal_event(event)) for id, event in write.events)
            )
            for write in append.writes
        )
        return replace(append, writes=writes)

    def open_text(self, text: str) -> str:
        """The `events.sealed_text.OpenText` of these keys. Raises `LogUnavailable`."""
        sealed = parse_sealed(text)
        if sealed is None:
            return text
        account = self._store.find_account_key(sealed.account)
        key = self._store.find_text_key(sealed.number) if account else account
        if account and key:
            try:
                opened = _derive_cipher(account, key).decrypt(_NONCE, sealed.ciphertext, None)
                return opened.decode()
            except InvalidTag:
                pass
        elif key is not None:
            return ERASED
        _logger.error(
            "a text of user %d can't be opened with key %d: the file of text keys is older than "
            "the log, or the text is damaged",
            sealed.account,
            sealed.number,
        )
        return ERASED

    async def _await_keys(self, accounts: frozenset[int], texts: int) -> None:
        """Have keys for these accounts and this many texts at hand."""
        while True:
            missing = [a for a in accounts if self._store.find_account_key(a) is None]
            if not missing and len(self._unused_keys) >= texts:
                return
            self._accounts_without_key.update(missing)
            async with self._making_keys:
                # One write makes the keys of all accounts that wait by now.
                if waiting := self._accounts_without_key:
                    self._accounts_without_key = set()
                    await asyncio.to_thread(self._store.make_account_keys, waiting)
                if len(self._unused_keys) < texts:
                    self._unused_keys += await asyncio.to_thread(self._store.reserve_text_keys)

    def _seal_event(self, event: Event) -> Event:
        if type(event) not in PERSONAL_FIELDS:
            return event
        return map_texts(event, partial(self._seal_text, owner_of_texts(event)))

    def _seal_text(self, account: int, text: str) -> str:
        account_key = self._store.find_account_key(account)
        if not text or not account_key:
            return ERASED  # the account was deleted meanwhile, and its texts with it
        number, key = self._unused_keys.popleft()
        ciphertext = _derive_cipher(account_key, key).encrypt(_NONCE, text.encode(), None)
        return SealedText(account, number, ciphertext).render()


def _derive_cipher(account_key: bytes, text_key: bytes) -> AESGCM:
    return AESGCM(
        hashlib.blake2b(text_key, key=account_key, digest_size=32, person=_PURPOSE).digest()
    )
