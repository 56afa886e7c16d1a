"""`starling serve`: the parent of API processes, and of a projector where the profile needs one."""

import asyncio
import logging
import socket
from collections.abc import Callable

from infra.process.shared_metrics import forget_ended_processes
from infra.process.supervisor import ChildProcess, Supervisor, open_listener
from infra.settings import Settings
from infra.wiring import choose_profile

_logger = logging.getLogger(__name__)


def run_server(settings: Settings, before_start: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGINT or SIGTERM.

    `before_start` runs once the port is bound and before any process starts. Raises `CannotListen`
    and what opening the parts raises.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with open_listener(settings.host, settings.port) as listener:
        forget_ended_processes(settings.metrics_folder)
        before_start()
        asyncio.run(_supervise_processes(settings, listener))


def _echo_line(line: str) -> None:
    _logger.info("%s", line)


async def _supervise_processes(settings: Settings, listener: socket.socket) -> None:
    program = ("-c", "from infra.cli.main import main; main()")
    api = ("-m", "infra.entrypoints.api_server", "--listener", str(listener.fileno()))
    files = (listener.fileno(),)
    children = [
        ChildProcess(f"API process {n}", api, files) for n in range(1, settings.workers + 1)
    ]
    if choose_profile(settings).needs_projector:
        children.insert(0, ChildProcess("the projector", (*program, "work")))
    host, port = listener.getsockname()[:2]
    environment = _for_children(settings.listening_on(host, port))
    supervisor = Supervisor(children, environment, _echo_line)
    greeting: asyncio.Task[None] | None = None

    def on_started() -> None:
        nonlocal greeting
        greeting = asyncio.create_task(_announce_ready(host, port))

    await supervisor.run(on_started)
    if greeting is not None:
        greeting.cancel()


def _for_children(settings: Settings) -> dict[str, str]:
    """The API shows the projector's metrics, too."""
    return settings.model_copy(update={"metrics_port": None}).to_environment()


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
