"""WebSockets as an API process speaks them: uvicorn's protocol, as one of its open connections."""

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from api.http.network_address import counted_address
from infra.entrypoints.open_connections import OpenConnections

MAX_MESSAGE_BYTES: Final = 16 << 10
"""Bytes of a client's message; a longer one ends the connection."""

MAX_UNSENT_BYTES: Final = 256 << 10
"""Bytes that may wait for a client which goes on sending, and reads no answers to its pings."""


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection to a client that was HTTP before; a `ClientConnection` of `OpenConnections`.

    Pings find clients that are gone, so there is nothing else to be patient with.
    """

    def __init__(
        self,
        open_connections: OpenConnections,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._open_connections = open_connections
        self.address = ""
        self.waiting_since = self.unsent_since = open_connections.clock()
        self.unsent_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the place that the HTTP connection had."""
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self.address = counted_address(host)
        self._open_connections.admit(self, host)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._open_connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read the next bytes."""
        super().data_received(data)
        if self.count_unsent_bytes() > MAX_UNSENT_BYTES:
            self.cut()

    @property
    def patience(self) -> float | None:
        """No bound."""
        return None

    @property
    def can_make_room(self) -> bool:
        """Never."""
        return False

    def count_unsent_bytes(self) -> int:
        """Bytes of messages that the client has not taken yet."""
        return int(self.transport.get_write_buffer_size())

    def close_quietly(self) -> None:
        """Close it."""
        self.transport.close()

    def time_out(self) -> None:
        """Close it."""
        self.transport.close()

    def cut(self) -> None:
        """Close it at once."""
        self.transport.abort()
