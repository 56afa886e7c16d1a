"""The id server as its clients see it, and what they and it say to each other.

`POST /blocks` with a `BlockRequest` as JSON gives a `BlockResponse`, or a problem with status 503
where there are no blocks, 401 for another password than the server's.
"""

import http.client
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from events.ids.id_blocks import BlocksUnavailable, IdBlock, ReturnedBlock

MOST_BLOCKS_AT_ONCE: Final = 64


class BlockRequest(msgspec.Struct):
    """As the parameters of `BlockSource.take_blocks`."""

    count: int
    owner: str
    now_ms: int
    until_ms: int
    returned: list[ReturnedBlock] = []


class BlockResponse(msgspec.Struct):
    """What `BlockSource.take_blocks` gives."""

    blocks: list[IdBlock]


class IdServerClient:
    """A `BlockSource` at an address such as http://127.0.0.1:8010, over one connection."""

    def __init__(self, address: str, password: str | None = None, seconds: float = 2.0) -> None:
        """`seconds` bounds each step of a call: to connect, to send, to receive."""
        self._address = address
        self._place = urlsplit(address)
        self._seconds = seconds
        self._headers = {"Content-Type": "application/json"}
        if password is not None:
            self._headers["Authorization"] = f"Bearer {password}"
        self._connection: http.client.HTTPConnection | None = None

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        asked = msgspec.json.encode(BlockRequest(count, owner, now_ms, until_ms, list(returned)))
        kept_open = self._connection is not None
        try:
            try:
                status, body = self._send(asked)
            except (OSError, http.client.HTTPException):
                if not kept_open:
                    raise
                status, body = self._send(asked)  # the server had closed it, or begun anew
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise BlocksUnavailable(f"the id server at {self._address}: {reason}") from error
        if status != 200:
            detail = body[:200].decode(errors="replace")
            raise BlocksUnavailable(f"the id server at {self._address} says {status}: {detail}")
        try:
            return msgspec.json.decode(body, type=BlockResponse).blocks
        except msgspec.DecodeError as error:
            raise BlocksUnavailable(
                f"what answers at {self._address} is no id server: {error}"
            ) from error

    def close(self) -> None:
        """Close the connection; a later call opens one again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            kind = (
                http.client.HTTPSConnection
                if self._place.scheme == "https"
                else http.client.HTTPConnection
            )
            host = self._place.hostname or ""
            self._connection = kind(host, self._place.port, timeout=self._seconds)
        try:
            self._connection.request("POST", f"{self._place.path}/blocks", body, self._headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
