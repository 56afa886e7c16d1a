"""The keys of personal texts in MongoDB, for a log that several machines write.

Documents of `text_account_keys` (the user is the `_id`) and of `text_key_blocks` (the number of a
block of keys that were made together), each with the CRC-32 of what it holds: a damaged key would
make its texts look erased. `text_keys` has one document that counts blocks, says how far deletions
were carried out, and names the log and this store. (`followed_through` is in the place of
`position`, which programs moved on that left out notes, lists and filters.)

A destroyed key is overwritten, and acknowledged once a majority has that on its disks. MongoDB
keeps what was overwritten in its oplog and its journal for a while, and so do back-ups of it.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any, Final
from zlib import crc32

from pymongo import ReadPreference, ReturnDocument, UpdateOne, WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from events.log import LogUnavailable
from infra.mongodb.async_database import BlockingDatabase

KEY_BYTES: Final = 16
"""Of a text's key; an account's has twice as many."""

KEYS_PER_BLOCK: Final = 1024

CACHED_BLOCKS: Final = 1024
"""16 MB."""

CACHED_ACCOUNTS: Final = 200_000

ERASURE_SECONDS: Final = 0.1
"""How long a process may go on with a key that another one destroyed."""

_ERASED_KEY: Final = bytes(KEY_BYTES)
_STATE: Final = {"_id": "state"}
_DURABLE: Final = WriteConcern(w="majority", j=True)
_SETTLED: Final = ReadConcern("majority")


class MongoTextKeys:
    """The keys of one log's texts, for any number of processes and threads. `close` it.

    Every method may raise `LogUnavailable`: without the keys, nothing can be written.
    """

    def __init__(self, database: BlockingDatabase, log_identity: str) -> None:
        """Of the log with this identity, made where there are none. Raises `LogUnavailable`, also
        where they are those of another log."""
        self._state, self._accounts, self._key_blocks = (
            # Of the primary, whatever the address says: another node may still have erased keys.
            database.get_collection(name, None, ReadPreference.PRIMARY, _DURABLE, _SETTLED)
            for name in ("text_keys", "text_account_keys", "text_key_blocks")
        )
        self._lock = threading.Lock()
        self._account_keys: dict[int, bytes] = {}
        self._blocks: dict[int, bytes] = {}
        self._erasures = 0
        self._closed = threading.Event()
        new = {
            "log": log_identity, "store": token_hex(16),
            "blocks": 0, "followed_through": 0, "erasures": 0,
        }  # fmt: skip
        with _raising_unavailable():
            with suppress(DuplicateKeyError):  # another process made it at the same moment
                self._state.update_one(_STATE, {"$setOnInsert": new}, upsert=True)
            state = self._read_state()
        if state["log"] != log_identity:
            raise LogUnavailable(
                "the MongoDB of STARLING_VIEWS has the text keys of another log than the one of "
                "STARLING_LOG: name the two that belong together"
            )
        self.identity: Final[str] = state["store"]
        self._erasures = state["erasures"]
        # Not when a key is looked for: that would be a round trip on the event loop of requests.
        threading.Thread(target=self._follow_erasures, name="text-keys", daemon=True).start()

    def make_account_keys(self, accounts: Collection[int]) -> None:
        """Make a key for each account that never had one. Durable on return."""
        keys = {account: os.urandom(2 * KEY_BYTES) for account in accounts}
        with _raising_unavailable():
            self._accounts.bulk_write(
                [
                    UpdateOne({"_id": account}, {"$setOnInsert": _with_sum(key)}, upsert=True)
                    for account, key in keys.items()
                ],
                ordered=False,
            )

    def reserve_text_keys(self) -> list[tuple[int, bytes]]:
        """A block of new keys with their numbers, for this process alone. Durable on return."""
        keys = os.urandom(KEY_BYTES * KEYS_PER_BLOCK)
        with _raising_unavailable():
            state: Any = self._state.find_one_and_update(
                _STATE, {"$inc": {"blocks": 1}}, return_document=ReturnDocument.AFTER
            )
            self._key_blocks.insert_one({"_id": state["blocks"], **_with_sum(keys)})
        first = state["blocks"] * KEYS_PER_BLOCK
        return [(first + index, _key_at(keys, index)) for index in range(KEYS_PER_BLOCK)]

    def find_account_key(self, account: int) -> bytes | None:
        """The key of an account; empty where it was destroyed, None where there never was one."""
        key = self._account_keys.get(account)
        if key is not None:
            return key
        with self._lock, _raising_unavailable():
            # Under the lock, so that what is erased meanwhile is not remembered after all.
            found = self._accounts.find_one({"_id": account})
            if found is None:
                return None
            key = self._account_keys[account] = _whole_key(found)
            if len(self._account_keys) > CACHED_ACCOUNTS:
                self._account_keys.pop(next(iter(self._account_keys)))
        return key

    def find_text_key(self, number: int) -> bytes | None:
        """The key of a text; empty where it was destroyed, None where there never was one."""
        block, index = divmod(number, KEYS_PER_BLOCK)
        keys = self._blocks.get(block)
        if keys is None:
            with self._lock, _raising_unavailable():
                found = self._key_blocks.find_one({"_id": block})
                if found is None:
                    return None
                keys = self._blocks[block] = _whole_key(found)
                if len(self._blocks) > CACHED_BLOCKS:
                    self._blocks.pop(next(iter(self._blocks)))
        key = _key_at(keys, index)
        return b"" if key == _ERASED_KEY else key

    def erased_through(self) -> int:
        """The position of the log up to which `erase` was done."""
        with _raising_unavailable():
            return int(self._read_state().get("followed_through", 0))

    def erase(self, accounts: Collection[int], numbers: Collection[int], through: int) -> None:
        """Destroy the keys of accounts and of texts, as the log asks for up to `through`.

        An account without a key will not get one either. Durable on return.
        """
        by_block: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            block, index = divmod(number, KEYS_PER_BLOCK)
            by_block[block].append(index)
        with _raising_unavailable():
            if accounts:
                self._accounts.bulk_write(
                    [
                        UpdateOne({"_id": account}, {"$set": _with_sum(b"")}, upsert=True)
                        for account in accounts
                    ],
                    ordered=False,
                )
            for block, indexes in by_block.items():
                self._erase_in_block(block, indexes)
            # Last: until then, a process that is killed leaves all of it to be done again.
            changed = {"erasures": int(bool(accounts or numbers))}
            self._state.update_one(_STATE, {"$set": {"followed_through": through}, "$inc": changed})
        self._forget_all()

    def close(self) -> None:
        """Follow erasures no longer."""
        self._closed.set()

    def _read_state(self) -> dict[str, Any]:
        found = self._state.find_one(_STATE)
        if found is None:
            raise LogUnavailable("the text keys in MongoDB were dropped: restore a backup of them")
        return found

    def _erase_in_block(self, block: int, indexes: list[int]) -> None:
        while (found := self._key_blocks.find_one({"_id": block})) is not None:
            keys = bytearray(_whole_key(found))
            for index in indexes:
                keys[index * KEY_BYTES : (index + 1) * KEY_BYTES] = _ERASED_KEY
            # Another process may destroy other keys of the block at the same time.
            unchanged = {"_id": block, "keys": found["keys"]}
            if self._key_blocks.update_one(unchanged, {"$set": _with_sum(keys)}).matched_count:
                return

    def _follow_erasures(self) -> None:
        """Drop the caches where a process has destroyed keys, and where that can't be known."""
        while not self._closed.wait(ERASURE_SECONDS):
            began = time.monotonic()
            try:
                with _raising_unavailable():
                    erasures = self._read_state()["erasures"]
            except LogUnavailable:
                self._forget_all()
                self._erasures = -1
                continue
            if erasures != self._erasures or time.monotonic() - began > 10 * ERASURE_SECONDS:
                self._forget_all()
                self._erasures = erasures

    def _forget_all(self) -> None:
        with self._lock:
            self._account_keys.clear()
            self._blocks.clear()


def has_text_keys(database: BlockingDatabase) -> bool:
    """Whether a database has keys of some log. Raises `LogUnavailable`."""
    with _raising_unavailable():
        return database["text_keys"].find_one(_STATE) is not None


@contextmanager
def _raising_unavailable() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise LogUnavailable(f"the text keys in MongoDB: {error}") from error


def _with_sum(keys: bytes | bytearray) -> dict[str, Any]:
    return {"keys": bytes(keys), "sum": crc32(keys)}


def _whole_key(found: dict[str, Any]) -> bytes:
    """The keys of a document, empty for a destroyed one. Raises `LogUnavailable`."""
    keys = bytes(found["keys"])
    if crc32(keys) != found["sum"]:
        raise LogUnavailable(f"the text keys in MongoDB: the sum of key {found['_id']} is wrong")
    return keys


def _key_at(keys: bytes, index: int) -> bytes:
    return keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]
