"""The application by its settings, and the HTTP server that an API process runs it in."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.app import build_app
from api.http.request_log import request_fields
from infra.entrypoints.asgi_lifespan import prepare_for_server
from infra.entrypoints.expected_errors import ending_with_one_line
from infra.entrypoints.http_protocol import BoundedHttpProtocol
from infra.entrypoints.open_connections import (
    ConnectionLimits,
    OpenConnections,
    close_overdue,
    divide_open_files,
)
from infra.entrypoints.websocket_protocol import MAX_MESSAGE_BYTES
from infra.process.child_run import announce_ready, send_heartbeats
from infra.process.logs import configure_logs
from infra.process.memory import freeze_started_program
from infra.process.private_files import keep_new_files_private
from infra.process.supervisor import watch_lifeline
from infra.process.telemetry import begin_telemetry
from infra.process.tracing import finish_tracing
from infra.settings import Settings, from_environment
from infra.wiring.api_ports import open_api_ports
from streams.event_traces import traces_are_on

GRACE_SECONDS = 5
"""For requests that are under way when the process is told to stop."""

_TICKS_A_SECOND: Final = 10
_TICKS_A_REPORT: Final = 600

_logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application by the settings.

    Without settings it takes those of the environment, and is made for any ASGI server:
    `uvicorn --factory infra.entrypoints.api_server:create_app`. Wrong ones end the process.
    """
    if settings is not None:
        return _build_app(settings)
    with ending_with_one_line():
        settings = from_environment()
        keep_new_files_private()
        settings.make_data_folder()  # where it can't be, say so at once
        begin_telemetry(settings, "api")
        app = _build_app(settings)
    prepare_for_server(app)
    return app


def _build_app(settings: Settings) -> FastAPI:
    app = build_app(
        partial(open_api_ports, settings),
        fast_path=settings.fast_path,
        traces=traces_are_on(),
        media_bytes=settings.media_bytes,
    )
    if settings.proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))
    return app


def build_server(app: object, limits: ConnectionLimits | None = None) -> "ApiServer":
    """The HTTP server as Starling runs it; the benchmarks run their peers on the same.

    Call it when what the process keeps open is open: what is left of its files is for connections.
    """
    limits = limits or ConnectionLimits()
    files = divide_open_files(limits.connections)
    connections = OpenConnections(limits._replace(connections=files.connections), time.monotonic)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application, whatever its class
        http=partial(BoundedHttpProtocol, connections),  # type: ignore[arg-type]  # makes one
        # Made by the HTTP protocol. A message's compression would cost each connection memory.
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        backlog=files.backlog,
        proxy_headers=False,  # `create_app` knows which proxies are trusted
        log_config=None,  # `infra.process.logs` has configured them
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    return ApiServer(config, connections)


class ApiServer(uvicorn.Server):
    """Closes connections whose clients take too long; when it stops, ends streams first, which
    would keep it waiting for its grace.
    """

    def __init__(self, config: uvicorn.Config, connections: OpenConnections) -> None:
        super().__init__(config)
        self.end_streams: Callable[[], None] = lambda: None
        self._open_connections = connections
        self._refused = 0

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % _TICKS_A_SECOND == 0:
            now = self._open_connections.clock()
            close_overdue(self.server_state.connections, now)  # type: ignore[arg-type]
        if counter % _TICKS_A_REPORT == 0 and (
            new := self._open_connections.refused - self._refused
        ):
            self._refused += new
            _logger.warning(
                "%d connections were refused, cut short or closed for others; %d are open",
                new,
                len(self._open_connections),
            )
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.end_streams()
        await super().shutdown(sockets)
        # Uvicorn then raises the signal again, which ends the process without more.
        await asyncio.to_thread(finish_tracing)


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=settings.connections,
        per_address=settings.connections_per_address,
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
        idle_seconds=settings.idle_seconds,
        trusted_proxies=settings.proxies,
    )


async def serve_requests(listener: socket.socket, lifeline: int) -> None:
    """Answer until SIGTERM, or until the parent is gone."""
    send_heartbeats(lifeline)
    settings = from_environment()
    configure_logs(settings.log_format, "api", request_fields)
    begin_telemetry(settings, "api")
    app = create_app(settings)
    # The server would log what the lifespan raises and go on; here it ends the process.
    async with app.router.lifespan_context(app):
        freeze_started_program()
        running = build_server(app, _connection_limits(settings))
        running.end_streams = app.state.api.open_streams.cancel_all

        def stop() -> None:
            running.should_exit = True

        watch_lifeline(lifeline, stop)
        announce_ready(lifeline)
        await running.serve(sockets=[listener])


def run_api_process(listener: socket.socket, lifeline: int) -> None:
    """Run one API process on the event loop that is quickest here."""
    loop_factory = uvicorn.Config("").get_loop_factory()
    with ending_with_one_line(), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve_requests(listener, lifeline))
