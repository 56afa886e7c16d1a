"""An API process: `python -m infra.entrypoints.api_server --listener FD --lifeline FD`, started by
`starling serve`.

It takes the listening socket and the lifeline from its parent, and its settings from the
environment that the parent gave it.
"""

import argparse
import asyncio
import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI

from api.app import build_app
from api.http.request_log import request_fields
from infra.entrypoints.asgi_lifespan import prepare_for_server
from infra.entrypoints.expected_errors import ending_with_one_line
from infra.process.child_run import announce_ready
from infra.process.logs import configure_logs
from infra.process.memory import freeze_started_program
from infra.process.private_files import keep_new_files_private
from infra.process.supervisor import watch_lifeline
from infra.process.telemetry import begin_telemetry
from infra.process.tracing import finish_tracing
from infra.settings import Settings, from_environment
from infra.wiring import open_api_ports
from streams.event_traces import traces_are_on

GRACE_SECONDS = 5
"""For requests that are under way when the process is told to stop."""


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
    return build_app(
        partial(open_api_ports, settings), fast_path=settings.fast_path, traces=traces_are_on()
    )


def build_server(app: object) -> uvicorn.Server:
    """The HTTP server as Starling runs it; the benchmarks run their peers on the same."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application, whatever its class
        http="httptools",
        log_config=None,  # `infra.process.logs` has configured them
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config)


class _StreamEndingServer(uvicorn.Server):
    """Ends streams first, which would keep it waiting for its grace."""

    end_streams: Callable[[], None]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.end_streams()
        await super().shutdown(sockets)
        # Uvicorn then raises the signal again, which ends the process without more.
        await asyncio.to_thread(finish_tracing)


async def serve_requests(listener: socket.socket, lifeline: int) -> None:
    """Answer until SIGTERM, or until the parent is gone."""
    settings = from_environment()
    configure_logs(settings.log_format, "api", request_fields)
    begin_telemetry(settings, "api")
    app = create_app(settings)
    # The server would log what the lifespan raises and go on; here it ends the process.
    async with app.router.lifespan_context(app):
        freeze_started_program()
        running = _StreamEndingServer(build_server(app).config)
        running.end_streams = app.state.api.open_streams.cancel_all

        def stop() -> None:
            running.should_exit = True

        watch_lifeline(lifeline, stop)
        announce_ready(lifeline)
        await running.serve(sockets=[listener])


def main() -> None:
    """Run one API process on the event loop that is quickest here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    listener = socket.socket(fileno=arguments.listener)
    loop_factory = uvicorn.Config("").get_loop_factory()
    with ending_with_one_line(), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve_requests(listener, arguments.lifeline))


if __name__ == "__main__":
    main()
