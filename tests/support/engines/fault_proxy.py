"""A TCP proxy for tests: it delays what passes, falls silent, or cuts connections."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class FaultProxy:
    """Between clients and one server; `running` makes one. Methods are for any thread."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._loop = asyncio.new_event_loop()
        self._pairs: set[asyncio.StreamWriter] = set()
        self._delay = 0.0
        self._flowing = asyncio.Event()
        self._refusing = False
        self.port = 0

    def delay(self, seconds: float) -> None:
        """Hold each piece back for so long, in either direction."""
        self._delay = seconds

    def silence(self) -> None:
        """Let nothing through, with connections open, until `flow`."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def cut(self) -> None:
        """End every connection, and each new one at once, until `flow`."""
        self._refusing = True
        asyncio.run_coroutine_threadsafe(self._abort_connections(), self._loop).result(10)

    def restore(self) -> None:
        """Let everything through again, without delay."""
        self._delay, self._refusing = 0.0, False
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _run_loop(self, started: threading.Event) -> None:
        async def serve() -> None:
            self._flowing.set()
            self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            started.set()

        self._loop.run_until_complete(serve())
        self._loop.run_forever()
        self._loop.run_until_complete(self._close_server())
        self._loop.close()

    async def _close_server(self) -> None:
        self._server.close()
        await self._abort_connections()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._refusing:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._pairs |= {writer, far_writer}
        ways = self._forward(reader, far_writer), self._forward(far_reader, writer)
        with contextlib.suppress(asyncio.CancelledError):  # the proxy ends; its end is not awaited
            await asyncio.gather(*ways)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                writer.write(piece)
                await writer.drain()
        self._pairs.discard(writer)
        writer.close()

    async def _abort_connections(self) -> None:
        for writer in list(self._pairs):
            writer.transport.abort()
        self._pairs.clear()


@contextmanager
def running_proxy(host: str, port: int) -> Iterator[FaultProxy]:
    """A proxy on a free port during the block."""
    proxy, started = FaultProxy(host, port), threading.Event()
    thread = threading.Thread(target=proxy._run_loop, args=(started,), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(10)
