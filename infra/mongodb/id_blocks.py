"""A ticket server in MongoDB: a document of the collection `tickets`, replaced whenever blocks are
given, and only while it is as it was read.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pymongo
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, PyMongoError

from events.ids.id_blocks import (
    BlockLedger,
    BlockSeries,
    BlocksUnavailable,
    IdBlock,
    ReturnedBlock,
)

_DATABASE: Final = "starling"


class MongoBlocks:
    """A `BlockSource` in the database that an address names. Connects when it is first used: use it
    after any fork."""

    def __init__(
        self, address: str, name: str, series: BlockSeries, timeout_seconds: float = 1.0
    ) -> None:
        """`name` is the document's `_id`; `timeout_seconds` bounds each call, with all retries. A
        server that answered before and doesn't now is given up after a quarter of it."""
        self._address = address
        self._name = name
        self._series = series
        self._timeout_seconds = timeout_seconds
        self._client: MongoClient[dict[str, Any]] | None = None
        self._answered = False

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        try:
            with pymongo.timeout(self._timeout_seconds):
                tickets = self._tickets()
                while True:
                    # The driver waits for a server that was killed, while another one may serve.
                    with pymongo.timeout(self._timeout_seconds / (4 if self._answered else 1)):
                        ledger, version = self._read(tickets)
                    self._answered = True
                    ledger.take_back(returned)
                    blocks = ledger.give(self._series, count, owner, now_ms, until_ms)
                    if self._replace(tickets, ledger, version):
                        return blocks
        except (PyMongoError, msgspec.ValidationError) as error:
            raise BlocksUnavailable(f"the tickets in MongoDB: {error}") from error

    def read_ledger(self) -> BlockLedger:
        """What was given so far."""
        return self._read(self._tickets())[0]

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _tickets(self) -> Any:
        if self._client is None:
            self._client = MongoClient(
                self._address, appname="starling", connect=False, w="majority", journal=True,
                readConcernLevel="majority",
            )  # fmt: skip
        return self._client.get_default_database(_DATABASE)["tickets"]

    def _read(self, tickets: Any) -> tuple[BlockLedger, int]:
        found = tickets.find_one({"_id": self._name})
        if found is None:
            return BlockLedger(self._series.first), 0
        return msgspec.convert(found["ledger"], BlockLedger, strict=False), found["version"]

    def _replace(self, tickets: Any, ledger: BlockLedger, version: int) -> bool:
        """Whether nothing else had replaced it since `version`."""
        written = {
            "version": version + 1,
            "ledger": msgspec.to_builtins(ledger, str_keys=True),
        }
        if version == 0:
            try:
                tickets.insert_one({"_id": self._name, **written})
            except DuplicateKeyError:
                return False
            return True
        as_read = {"_id": self._name, "version": version}
        return bool(tickets.replace_one(as_read, written).matched_count)
