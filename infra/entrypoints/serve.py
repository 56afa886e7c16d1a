"""Running the embedded profile: the processes behind `starling serve` and `starling work`."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import click

from events.log import EventLog
from infra.cli.errors import UserError
from infra.dev import demo_world
from infra.dev.demo_world import import_demo_world
from infra.embedded.projector import Projector, open_projector
from infra.log_of_record import open_log
from infra.process.supervisor import ChildProcess, Supervisor, open_listener, watch_lifeline
from infra.settings import Settings
from streams.projecting.log_runner import LogRunner


def run_server(settings: Settings, *, with_demo: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises `UserError` and what opening the parts raises."""
    settings.data.mkdir(parents=True, exist_ok=True)
    with _open_listener(settings) as listener:
        if with_demo:
            _import_demo(settings)
        asyncio.run(_supervise_processes(settings, listener))


def run_worker(settings: Settings, lifeline: int | None, topic: str) -> None:
    """Keep the views current until SIGINT or SIGTERM, or until the lifeline's other end is gone.

    Where there is a feed, this is one of any number of workers that share its partitions.
    """
    if settings.kafka is not None and settings.views != "sqlite":
        from infra.streaming import (
            worker,  # Faust and drivers come with the streaming profile alone
        )

        worker.run_worker(settings, settings.kafka, topic, lifeline)
        return
    asyncio.run(_run_projector(settings, lifeline))


def _echo_line(line: str) -> None:
    click.echo(f"starling: {line}", err=True)


def _open_listener(settings: Settings) -> socket.socket:
    try:
        return open_listener(settings.host, settings.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise UserError(f"cannot listen on {settings.host}: {error.strerror}") from error
        raise UserError(
            f"port {settings.port} on {settings.host} is taken: stop what listens there, or choose "
            "another with --port"
        ) from error


def _import_demo(settings: Settings) -> None:
    if asyncio.run(import_demo_world(settings)):
        _echo_line(
            f"made a demo world; sign in as {demo_world.DEMO_HANDLE} with the password "
            f"{demo_world.DEMO_PASSWORD}"
        )
    else:
        _echo_line("the data folder has a world already, so no demo was made")


async def _supervise_processes(settings: Settings, listener: socket.socket) -> None:
    program = ("-c", "from infra.cli.main import main; main()")
    api = ("-m", "infra.entrypoints.api_server", "--listener", str(listener.fileno()))
    files = (listener.fileno(),)
    children = [
        ChildProcess(f"API process {n}", api, files) for n in range(1, settings.workers + 1)
    ]
    if not settings.is_streaming:  # Faust workers are started by themselves, on any machine
        children.insert(0, ChildProcess("the projector", (*program, "work")))
    host, port = listener.getsockname()[:2]
    supervisor = Supervisor(children, settings.to_environment(), _echo_line)
    greeting: asyncio.Task[None] | None = None

    def on_started() -> None:
        nonlocal greeting
        greeting = asyncio.create_task(_announce_ready(host, port))

    await supervisor.run(on_started)
    if greeting is not None:
        greeting.cancel()


async def _announce_ready(host: str, port: int) -> None:
    """Say where the server is once it answers that it is ready."""
    address = f"[{host}]" if ":" in host else host
    while True:
        if await _is_ready(host, port):
            break
        await asyncio.sleep(0.2)
    _echo_line(f"serving on http://{address}:{port} (Ctrl-C stops it)")


async def _is_ready(host: str, port: int) -> bool:
    """Whether an API process says so; False, too, where it ends before it answers."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: starling\r\n\r\n")
        return b" 200 " in await reader.readline()
    except ConnectionError:
        return False
    finally:
        writer.close()


async def _run_projector(settings: Settings, lifeline: int | None) -> None:
    settings.data.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    _call_on_signals(stop.set)
    if lifeline is not None:
        watch_lifeline(lifeline, stop.set)
    with open_log(settings) as log:
        async with _open_projector(settings, log) as runner:
            await runner.run(stop)


def _open_projector(
    settings: Settings, log: EventLog
) -> AbstractAsyncContextManager[LogRunner | Projector]:
    if settings.views == "sqlite":
        return open_projector(settings, log)
    from infra.streaming import worker  # the driver comes with the streaming profile alone

    return worker.open_log_runner(settings, log)


def _call_on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
