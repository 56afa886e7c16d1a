"""The id server (`starling ids serve`): one process that hands out blocks of ids over HTTP.

It keeps what it handed out in a file, before it answers. While it is down, its clients make ids of
the blocks that they have; it goes on where it was when it is started again.

A **block server** is one that has no file but an id server above it: it takes blocks ahead and
hands them on, one a data centre for example. While the server above is down, its stock lasts longer
than that of each process.
"""

import asyncio
import hmac
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from time import monotonic
from typing import Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from events.ids.id_blocks import (
    ID_SERVER_BLOCKS,
    BlockSource,
    BlocksUnavailable,
    IdBlock,
    ReturnedBlock,
)
from infra.ids.block_stock import BlockStock
from infra.ids.id_server_client import (
    MOST_BLOCKS_AT_ONCE,
    BlockRequest,
    BlockResponse,
    IdServerClient,
)
from infra.ids.machine_lease import lease_owner
from infra.process.clock import clock_ms
from infra.process.supervisor import open_listener
from infra.settings import InvalidSetting, Settings
from infra.sqlite.id_blocks import SqliteBlocks

LONGEST_MS: Final = 3_600_000
"""How long a block may be held."""
CLOCK_TOLERANCE_MS: Final = 60_000
"""How far a client's clock may be from the server's: one that is a year ahead would hold a machine
id for a year."""
_BODY_LIMIT: Final = 1 << 20
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

_logger = logging.getLogger(__name__)


class StockedBlocks:
    """A `BlockSource` that hands on the blocks of a stock."""

    def __init__(self, stock: BlockStock) -> None:
        self._stock = stock

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        taken: list[IdBlock] = []
        try:
            taken.extend(self._stock.next_block() for _ in range(count))
        except BlocksUnavailable:
            if not taken:
                raise
        self._stock.return_blocks(returned)
        return taken


def build_id_app(source: BlockSource, password: str | None) -> Starlette:
    """The application that answers as `infra.ids.id_server_client` says."""

    async def give_blocks(request: Request) -> Response:
        expected = f"Bearer {password}".encode()
        given = request.headers.get("Authorization", "").encode()
        if password is not None and not hmac.compare_digest(given, expected):
            return Response("the password is another: STARLING_ID_SERVER_PASSWORD", 401)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _BODY_LIMIT:
                return Response("the body is too long", 413)
        try:
            asked = msgspec.json.decode(body, type=BlockRequest)
        except msgspec.DecodeError as error:
            return Response(f"this is no request for blocks: {error}", 400)
        if not 0 <= asked.count <= MOST_BLOCKS_AT_ONCE:
            return Response(f"count must be 0-{MOST_BLOCKS_AT_ONCE}", 400)
        if abs(asked.now_ms - clock_ms()) > CLOCK_TOLERANCE_MS:
            return Response("its clock and that of the id server are a minute apart", 503)
        until_ms = min(asked.until_ms, asked.now_ms + LONGEST_MS)
        try:
            blocks = await run_in_threadpool(
                source.take_blocks,
                asked.count, asked.owner[:100], asked.now_ms, until_ms, asked.returned,
            )  # fmt: skip
        except BlocksUnavailable as error:
            return Response(str(error), 503)
        return Response(msgspec.json.encode(BlockResponse(blocks)), media_type="application/json")

    return Starlette(routes=[Route("/blocks", give_blocks, methods=["POST"])])


@contextmanager
def _open_source(settings: Settings, above: str | None) -> Iterator[BlockSource]:
    if above is None:
        settings.make_data_folder()
        source = SqliteBlocks(settings.id_server_file, ID_SERVER_BLOCKS, lock_timeout_seconds=1.0)
        source.read_ledger()  # a file that can't be used is said at once
        yield source
        return
    with closing(IdServerClient(above, settings.id_server_password)) as client:
        stock = BlockStock(client, lease_owner(), clock_ms, monotonic, MOST_BLOCKS_AT_ONCE)
        stock.open()
        try:
            yield StockedBlocks(stock)
        finally:
            stock.close()


def serve_ids(settings: Settings, host: str, port: int, above: str | None = None) -> None:
    """Hand out blocks until SIGINT or SIGTERM.

    Raises `CannotListen`, `BlocksUnavailable`, and `InvalidSetting` for an address that others
    reach without a password.
    """
    if host not in _LOOPBACK and settings.id_server_password is None:
        raise InvalidSetting(
            f"an id server on {host} can be reached by others: choose a password for it with "
            "STARLING_ID_SERVER_PASSWORD_FILE, the same for its clients"
        )
    with open_listener(host, port) as listener, _open_source(settings, above) as source:
        app = build_id_app(source, settings.id_server_password)
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, lifespan="off",
            server_header=False, timeout_graceful_shutdown=2, timeout_keep_alive=60,
        )  # fmt: skip
        asyncio.run(_run(uvicorn.Server(config), listener))


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    _logger.info("handing out ids on http://%s:%d (Ctrl-C stops it)", host, port)
    await server.serve(sockets=[listener])
