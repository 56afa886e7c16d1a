"""`starling serve`: the parent of API processes, and of a projector where the profile needs one."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from infra.entrypoints.whole_files import require_whole_files
from infra.process.child_run import ChildProcess
from infra.process.shared_metrics import forget_ended_processes
from infra.process.supervisor import Supervisor, open_listener
from infra.settings import Settings
from infra.wiring.profile_choice import choose_profile
from infra.wiring.signing_secret import signing_secret
from infra.wiring.write_side import open_write_side

_SIGN_OF_LIFE_SECONDS: Final = 5.0
"""While the server starts, it says so often what it waits for."""
_ANSWER_SECONDS: Final = 2.0

_logger = logging.getLogger(__name__)


def run_server(settings: Settings, before_start: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGINT or SIGTERM.

    `before_start` runs once the port is bound and before any process starts. Raises
    `CannotListen`, `ChildCannotStart`, and what opening the parts raises.
    """
    settings.make_data_folder()
    with open_listener(settings.host, settings.port) as listener:
        forget_ended_processes(settings.metrics_folder)
        _require_usable_parts(settings)
        _echo_line(f"starting on the data folder {settings.data}")
        before_start()
        asyncio.run(_supervise_processes(settings, listener))


def _require_usable_parts(settings: Settings) -> None:
    """Open once what every API process opens: a part that can't be used is reported at once.

    Raises what opening it raises.
    """
    require_whole_files(settings)
    with open_write_side(settings):
        signing_secret(settings)


def _echo_line(line: str) -> None:
    _logger.info("%s", line)


async def _supervise_processes(settings: Settings, listener: socket.socket) -> None:
    program = ("-c", "from infra.cli.main import main; main()")
    api = ("-m", "infra.entrypoints.api_process", "--listener", str(listener.fileno()))
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

    try:
        await supervisor.run(on_started)
    finally:
        if greeting is not None:
            greeting.cancel()


def _for_children(settings: Settings) -> dict[str, str]:
    """The API shows the projector's metrics, too."""
    return settings.model_copy(update={"metrics_port": None}).to_environment()


async def _announce_ready(host: str, port: int) -> None:
    """Say where the server is once it answers that it is ready; now and then, what is missing."""
    address = f"[{host}]" if ":" in host else host
    spoke_at = time.monotonic()
    while (missing := await _ask_what_is_missing(host, port)) is not None:
        if time.monotonic() - spoke_at >= _SIGN_OF_LIFE_SECONDS:
            _echo_line(f"still starting: {missing}")
            spoke_at = time.monotonic()
        await asyncio.sleep(0.2)
    _echo_line(f"serving on http://{address}:{port} (Ctrl-C stops it)")


async def _ask_what_is_missing(host: str, port: int) -> str | None:
    """What keeps the server from being ready, in words; None once it is."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(
                    b"GET /health/ready HTTP/1.1\r\nHost: starling\r\nConnection: close\r\n\r\n"
                )
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return None if b" 200 " in head.split(b"\r\n")[0] else str(json.loads(body)["detail"])
    except (OSError, TimeoutError, ValueError, KeyError):
        return "no API process answers yet"
