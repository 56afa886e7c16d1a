"""Running the embedded profile: the processes behind `starling serve` and `starling work`."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import click

from events.log import EventLog
from infra import demo
from infra.command_side import open_log
from infra.demo_world import make
from infra.program.plain import Plain
from infra.projector import Projector, projector
from infra.settings import Settings
from infra.supervisor import Child, Supervisor, listen, watch_lifeline
from streams.runner import Runner


def serve(settings: Settings, *, with_demo: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises `Plain` and what opening the parts raises."""
    settings.data.mkdir(parents=True, exist_ok=True)
    with _listen(settings) as listener:
        if with_demo:
            _make_demo(settings)
        asyncio.run(_supervise(settings, listener))


def work(settings: Settings, lifeline: int | None, topic: str) -> None:
    """Keep the views current until SIGINT or SIGTERM, or until the lifeline's other end is gone.

    Where there is a feed, this is one of any number of workers that share its partitions.
    """
    if settings.kafka is not None and settings.views != "sqlite":
        from infra import streaming  # Faust and drivers come with the streaming profile alone

        streaming.work(settings, settings.kafka, topic, lifeline)
        return
    asyncio.run(_project(settings, lifeline))


def _say(line: str) -> None:
    click.echo(f"starling: {line}", err=True)


def _listen(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise Plain(f"cannot listen on {settings.host}: {error.strerror}") from error
        raise Plain(
            f"port {settings.port} on {settings.host} is taken: stop what listens there, or choose "
            "another with --port"
        ) from error


def _make_demo(settings: Settings) -> None:
    if asyncio.run(make(settings)):
        _say(f"made a demo world; sign in as {demo.HANDLE} with the password {demo.PASSWORD}")
    else:
        _say("the data folder has a world already, so no demo was made")


async def _supervise(settings: Settings, listener: socket.socket) -> None:
    program = ("-c", "from infra.cli import main; main()")
    api = ("-m", "infra.asgi", "--listener", str(listener.fileno()))
    files = (listener.fileno(),)
    children = [Child(f"API process {n}", api, files) for n in range(1, settings.workers + 1)]
    if not settings.streams:  # Faust workers are started by themselves, on any machine
        children.insert(0, Child("the projector", (*program, "work")))
    host, port = listener.getsockname()[:2]
    supervisor = Supervisor(children, settings.environment(), _say)
    greeting: asyncio.Task[None] | None = None

    def started() -> None:
        nonlocal greeting
        greeting = asyncio.create_task(_greet(host, port))

    await supervisor.run(started)
    if greeting is not None:
        greeting.cancel()


async def _greet(host: str, port: int) -> None:
    """Say where the server is once it answers that it is ready."""
    address = f"[{host}]" if ":" in host else host
    while True:
        if await _ready(host, port):
            break
        await asyncio.sleep(0.2)
    _say(f"serving on http://{address}:{port} (Ctrl-C stops it)")


async def _ready(host: str, port: int) -> bool:
    """Whether an API process says so; False, too, where it ends before it answers."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: starling\r\n\r\n")
        return b" 200 " in await reader.readline()
    except ConnectionError:
        return False
    finally:
        writer.close()


async def _project(settings: Settings, lifeline: int | None) -> None:
    settings.data.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    _on_signals(stop.set)
    if lifeline is not None:
        watch_lifeline(lifeline, stop.set)
    with open_log(settings) as log:
        async with _projector(settings, log) as runner:
            await runner.run(stop)


def _projector(
    settings: Settings, log: EventLog
) -> AbstractAsyncContextManager[Runner | Projector]:
    if settings.views == "sqlite":
        return projector(settings, log)
    from infra import streaming  # the driver comes with the streaming profile alone

    return streaming.projector(settings, log)


def _on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
