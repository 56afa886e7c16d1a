"""The API under servers that know nothing of Starling, beside a projector."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.support.starling_program import STARLING, killed_at_exit, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

CREATE_APP = "infra.entrypoints.api_server:create_app"

SERVERS = {
    "uvicorn": ["uvicorn", "--factory", CREATE_APP],
    "granian": ["granian", "--interface", "asgi", "--factory", CREATE_APP],
    "fastapi": ["fastapi", "run", "--host", "127.0.0.1", "--entrypoint", CREATE_APP],
}

PROJECT = Path(__file__).parents[2]
START_SECONDS = 40


class HostedApi(NamedTuple):
    """A running server: its process, its address, and the file that it writes its output to."""

    process: subprocess.Popen[bytes]
    url: str
    output: Path


def server_command(server: str, port: int) -> list[str]:
    """How a user starts it."""
    program, *arguments = SERVERS[server]
    return [str(Path(sys.executable).parent / program), *arguments, "--port", str(port)]


def unused_port() -> int:
    """A port that nothing listens on, for a program that can't be given a socket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def hosted_api(server: str, data: Path, **settings: str) -> Iterator[HostedApi]:
    """The API as that server runs it, with a projector, both killed if they still run."""
    environment = starling_environment(STARLING_DATA=str(data), **settings)
    port = unused_port()
    output, worker_output = data.with_name("server"), data.with_name("projector")
    work: list[str | Path] = [STARLING, "work"]
    command = server_command(server, port)
    with (
        killed_at_exit(work, environment, worker_output) as projector,
        killed_at_exit(command, environment, output, cwd=PROJECT) as process,
    ):
        api = HostedApi(process, f"http://127.0.0.1:{port}", output)
        wait_for_readiness(api)
        yield api
        projector.terminate()
        assert projector.wait(PATIENCE_SECONDS) == 0


def wait_for_readiness(api: HostedApi) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert api.process.poll() is None, api.output.read_text()
        with suppress(httpx.TransportError):
            ready = httpx.get(f"{api.url}/health/ready", trust_env=False, timeout=60, verify=False)
            if ready.status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(api.output.read_text())
