"""`starling serve` and `starling work`: the processes of the embedded profile."""

import asyncio
import errno
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.program.options import data_option, settings_with
from infra.program.plain import Plain

if TYPE_CHECKING:
    import socket

    from infra.settings import Settings


@click.command()
@click.option("--host", help="Where the API listens.  [default: STARLING_HOST, else 127.0.0.1]")
@click.option("--port", type=int, help="Its port; 0 takes a free one.  [default: 8000]")
@click.option("--workers", type=int, help="API processes.  [default: 1]")
@click.option("--demo", is_flag=True, help="Make the demo world, if the data folder is empty.")
@data_option
def serve(
    host: str | None, port: int | None, workers: int | None, demo: bool, data: Path | None
) -> None:
    """Serve the API and keep the views current, until Ctrl-C.

    Example: starling serve --demo --data /tmp/town
    """
    settings = settings_with(host=host, port=port, workers=workers, data=data)
    settings.data.mkdir(parents=True, exist_ok=True)
    listener = _listen(settings)
    if demo:
        _make_demo(settings)
    with listener:
        asyncio.run(_supervise(settings, listener))


@click.command()
@click.option("--lifeline", type=int, hidden=True)
@data_option
def work(lifeline: int | None, data: Path | None) -> None:
    """Keep the views current, without an API.

    One projector works on a data folder: `starling serve` brings its own.

    Example: starling work --data /srv/starling
    """
    asyncio.run(_project(settings_with(data=data), lifeline))


def _say(line: str) -> None:
    click.echo(f"starling: {line}", err=True)


def _listen(settings: "Settings") -> "socket.socket":
    from infra.supervisor import listen

    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise Plain(f"cannot listen on {settings.host}: {error.strerror}") from error
        raise Plain(
            f"port {settings.port} on {settings.host} is taken: stop what listens there, or choose "
            "another with --port"
        ) from error


def _make_demo(settings: "Settings") -> None:
    from infra import demo
    from infra.demo_world import make

    if asyncio.run(make(settings)):
        _say(f"made a demo world; sign in as {demo.HANDLE} with the password {demo.PASSWORD}")
    else:
        _say("the data folder has a world already, so no demo was made")


async def _supervise(settings: "Settings", listener: "socket.socket") -> None:
    from infra.supervisor import Child, Supervisor

    program = ("-c", "from infra.cli import main; main()")
    api = ("-m", "infra.asgi", "--listener", str(listener.fileno()))
    files = (listener.fileno(),)
    children = [
        Child("the projector", (*program, "work")),
        *(Child(f"API process {n}", api, files) for n in range(1, settings.workers + 1)),
    ]
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
    reader, writer = await asyncio.open_connection(host, port)
    address = f"[{host}]" if ":" in host else host
    try:
        while True:
            writer.write(b"GET /health/ready HTTP/1.1\r\nHost: starling\r\n\r\n")
            if b" 200 " in await reader.readline():
                break
            while (await reader.readline()).strip():
                pass
            await asyncio.sleep(0.2)
    finally:
        writer.close()
    _say(f"serving on http://{address}:{port} (Ctrl-C stops it)")


async def _project(settings: "Settings", lifeline: int | None) -> None:
    from infra.command_side import open_log
    from infra.projector import projector
    from infra.supervisor import watch_lifeline

    settings.data.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    _on_signals(stop.set)
    if lifeline is not None:
        watch_lifeline(lifeline, stop.set)
    with open_log(settings) as log:
        async with projector(settings, log) as runner:
            await runner.run(stop)


def _on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
