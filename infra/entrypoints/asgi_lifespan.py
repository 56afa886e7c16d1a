"""What the API does at its start and end under an ASGI server that is not `starling serve`.

Such a server knows nothing of streams that never end, of spans that wait to be sent, or of errors
that an operator can do something about. `prepare_for_server` teaches an application all three.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.entrypoints.expected_errors import expected_error_line
from infra.process.memory import freeze_started_program
from infra.process.tracing import finish_tracing

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def prepare_for_server(app: FastAPI) -> None:
    """Have the lifespan of an application do what `starling serve` does for its own processes."""
    open_app = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        try:
            async with open_app(app) as state:
                freeze_started_program()
                with _before_stop(app.state.api.open_streams.cancel_all):
                    yield state
        finally:
            await asyncio.to_thread(finish_tracing)

    app.router.lifespan_context = lifespan
    app.add_middleware(StartupFailures)


@contextmanager
def _before_stop(end_streams: Callable[[], None]) -> Iterator[None]:
    """Call `end_streams` on the event loop when the process is told to stop, before the server
    hears of it: a server waits for its responses, and a stream of events has no end of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, which is another program's
        return
    loop = asyncio.get_running_loop()
    of_server = {number: signal.getsignal(number) for number in _STOP_SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(end_streams)
        handler = of_server[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    taken = [number for number, handler in of_server.items() if callable(handler)]
    for number in taken:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is handle:
                signal.signal(number, of_server[number])


class StartupFailures:
    """The ASGI middleware that tells the server in one line why the application can't start,
    where that is no bug: Starlette would send a traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but the message of a failed start."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failure: Message | None = None

        async def send_or_hold(message: Message) -> None:
            nonlocal failure
            if message["type"] == "lifespan.startup.failed":
                failure = message
            else:
                await send(message)

        try:
            await self._app(scope, receive, send_or_hold)
        except Exception as error:
            line = expected_error_line(error)
            if failure is not None and line is not None:
                await send({**failure, "message": f"starling: {line.text}"})
                return
            if failure is not None:
                await send(failure)
            raise
