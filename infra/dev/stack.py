"""`starling up`: the streaming profile on this machine.

First the engines, and an id server where ids come from one; then the stack supervisor with all
processes of Starling (`infra.dev.stack_supervisor`), then HAProxy in front of the API processes.
All of it outlives the command that started it. Each process is recorded in a file before the next
is started or anything is awaited, so that `starling down` finds all of them, also if this command
is killed in between.
"""

import asyncio
import json
import shlex
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

import msgspec

from infra.dev import stack_supervisor
from infra.dev.demo_world import DEMO_HANDLE, import_demo_world
from infra.dev.local_engine import HOST, free_ports
from infra.dev.stack_processes import (
    HAPROXY,
    ID_SERVER,
    KAFKA,
    MONGODB,
    SUPERVISOR,
    find_haproxy,
    kafka_of_stack,
    launch_recorded,
    mongodb_of_stack,
    start_engine,
    start_haproxy,
    start_id_server,
    start_supervisor,
)
from infra.dev.stack_record import (
    LineWriter,
    StackFailed,
    StackRecord,
    locked_record,
    read_stack_record,
    stop_stack,
    write_stack_record,
)
from infra.files.atomic_write import write_atomically
from infra.kafka.topic import FeedTopic, ensure_topic
from infra.log_of_record import describe_log
from infra.process.private_files import read_or_make_secret
from infra.process.supervisor import open_listener
from infra.settings import Settings
from streams.feed.kafka_address import KafkaAddress

READY_SECONDS: Final = 90.0
"""How long the API may take until it can answer everything."""


class _StackStart:
    """A start that is under way; the record in the file holds what was started so far."""

    def __init__(self, settings: Settings, write_line: LineWriter) -> None:
        self.settings = settings
        self.write_line = write_line
        write_stack_record(settings.stack_file, StackRecord())

    @property
    def record(self) -> StackRecord:
        return read_stack_record(self.settings.stack_file) or StackRecord()

    def record_place(self, name: str, place: str) -> None:
        """Add an address to the record."""
        self._change(lambda record: {"places": record.places | {name: place}})

    def record_setting(self, name: str, value: str) -> None:
        """Add the variable that names an engine started here, for commands beside the stack."""
        self._change(lambda record: {"environment": record.environment | {name: value}})

    def record_balancer(self, front: str, apis: tuple[str, ...]) -> None:
        """Add what HAProxy is started with."""
        self._change(lambda _: {"front": front, "apis": apis})

    def _change(self, changes: Callable[[StackRecord], dict[str, Any]]) -> None:
        file = self.settings.stack_file
        with locked_record(file):
            record = self.record
            write_stack_record(file, msgspec.structs.replace(record, **changes(record)))


def start_stack(settings: Settings, write_line: LineWriter) -> StackRecord:
    """Start everything that does not run yet; returns when the API can answer everything.

    If that fails, everything is stopped again. Raises `StackFailed`, `EngineMissing`,
    `EngineFailed`, `CannotListen`, and what opening the log raises.
    """
    before = read_stack_record(settings.stack_file)
    if before is not None and before.is_running:
        raise StackFailed("it is up already, or a part of it is: `starling down` ends it")
    settings.make_data_folder()
    settings.process_logs_folder.mkdir(mode=0o700, exist_ok=True)
    start = _StackStart(settings, write_line)
    try:
        _start_in_order(start)
    except BaseException:
        stop_stack(settings, lambda _: None)
        raise
    write_exports(settings, start.record)
    return start.record


def write_exports(settings: Settings, record: StackRecord) -> None:
    """Write the lines for a shell that other programs find the engines by. They hold passwords,
    so they are in a file of the user alone, and not in anything that is printed."""
    exports = {"STARLING_DATA": str(settings.data.absolute())} | record.environment
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in exports.items())
    write_atomically(settings.exports_file, "".join(lines).encode())


def _start_in_order(start: _StackStart) -> None:
    start.settings = settings = _start_id_server(start, _start_engines(start))
    assert settings.kafka is not None
    ensure_topic(settings.kafka, FeedTopic())
    start.record_place("topic", FeedTopic().name)
    demo_password = asyncio.run(import_demo_world(settings))
    if demo_password is not None:
        start.write_line("made a demo world")
        start.record_place("sign in as", f"{DEMO_HANDLE} with the password {demo_password}")
    with _open_sockets(start) as (listeners, front):
        host, _, port = front.rpartition(":")
        settings = settings.listening_on(host.strip("[]"), int(port))
        if len(listeners) > 1:  # HAProxy is before them
            trusted = ",".join(("127.0.0.1", *settings.proxies))
            settings = settings.model_copy(update={"trusted_proxies": trusted})
        files = [listener.fileno() for listener in listeners]
        launch_recorded(settings, SUPERVISOR, lambda: start_supervisor(settings, files))
    url = f"http://{front}"
    start.write_line("waiting until every view is current")
    _wait_until_ready(url, start, caught_up=demo_password is not None)
    start.record_place("API", url)
    start.record_place("log of record", describe_log(settings))
    start.record_place("logs of processes", str(settings.process_logs_folder))


def _start_engines(start: _StackStart) -> Settings:
    """Start those that the settings don't name; returns settings that name both."""
    settings = start.settings
    if settings.kafka is None:
        start.write_line("starting Kafka")
        broker = kafka_of_stack(settings)
        start_engine(settings, KAFKA, broker)
        settings = settings.model_copy(update={"kafka": broker.address})
        start.record_setting("STARLING_KAFKA", broker.address)
    if settings.mongodb is None:
        start.write_line("starting MongoDB")
        server = mongodb_of_stack(settings)
        start_engine(settings, MONGODB, server)
        settings = settings.model_copy(update={"views": server.address()})
        start.record_setting("STARLING_VIEWS", server.address())
    start.record_place("Kafka", str(KafkaAddress.parse(settings.kafka or "")))
    start.record_place("MongoDB", _without_password(settings.views))
    return settings


def _start_id_server(start: _StackStart, settings: Settings) -> Settings:
    """Start one where ids are to come from it and the settings name none; returns settings that
    name it. It asks for a password of the data folder's."""
    if settings.ids != "global" or settings.id_server is not None:
        return settings
    start.write_line("starting the id server")
    [port] = free_ports(1)
    file = settings.engines_folder.absolute() / "id-server-password"
    chosen: dict[str, Any] = {"id_server": f"http://{HOST}:{port}"}
    if settings.id_server_password is None:
        password = read_or_make_secret(file).decode()
        chosen |= {"id_server_password": password, "id_server_password_file": file}
        start.record_setting("STARLING_ID_SERVER_PASSWORD", password)
    settings = settings.model_copy(update=chosen)
    launch_recorded(settings, ID_SERVER, lambda: start_id_server(settings).pid)
    start.record_setting("STARLING_ID_SERVER", chosen["id_server"])
    start.record_place("id server", chosen["id_server"])
    _wait_until_listening(port, start)
    return settings


def _wait_until_listening(port: int, start: _StackStart) -> None:
    end = time.monotonic() + READY_SECONDS
    while True:
        _require_running(start)
        with socket.socket() as client:
            if client.connect_ex((HOST, port)) == 0:
                return
        if time.monotonic() > end:
            logs = start.settings.process_logs_folder
            raise StackFailed(f"no id server within {READY_SECONDS:.0f} s; see {logs}")
        time.sleep(0.05)


@contextmanager
def _open_sockets(start: _StackStart) -> Iterator[tuple[list[socket.socket], str]]:
    """The sockets on which API processes listen, and the address for clients (host:port).

    With HAProxy each process has a socket of its own; without, all share the one for clients.
    """
    settings = start.settings
    haproxy = find_haproxy()
    with ExitStack() as stack:
        front = stack.enter_context(open_listener(settings.host, settings.port))
        host, port = front.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if haproxy is None:
            start.write_line("HAProxy is not installed: the API processes share one socket")
            yield [front], address
            return
        listeners = [
            stack.enter_context(open_listener("127.0.0.1", 0))
            for _ in range(stack_supervisor.API_PROCESSES)
        ]
        first, second = (f"127.0.0.1:{each.getsockname()[1]}" for each in listeners)
        front.close()
        log = settings.process_logs_folder / "haproxy.log"
        start.record_place("API processes", f"{first} and {second}, behind HAProxy")
        start.record_balancer(address, (first, second))
        yield listeners, address
        # Last to start, first to end: clients are refused then, and never reach an API process
        # that is gone.
        apis = first, second
        launch_recorded(settings, HAPROXY, lambda: start_haproxy(haproxy, address, apis, log).pid)


def _wait_until_ready(url: str, start: _StackStart, caught_up: bool) -> None:
    """Until the API is ready and, with `caught_up`, until no view lags."""
    end = time.monotonic() + READY_SECONDS
    logs = start.settings.process_logs_folder
    problem = "no answer"
    while time.monotonic() < end:
        _require_running(start)
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as response:
                projections = json.load(response)["projections"]
            if not (caught_up and any(each["lag"] for each in projections.values())):
                return
            problem = f"still behind: {projections}"
        except HTTPError as error:
            problem = error.read().decode(errors="replace")[:500]
        except OSError as error:
            problem = str(error)
        time.sleep(0.2)
    raise StackFailed(f"not ready within {READY_SECONDS:.0f} s ({problem}); see {logs}")


def _require_running(start: _StackStart) -> None:
    ended = [process.name for process in start.record.processes if not process.is_running()]
    if ended:
        raise StackFailed(f"{', '.join(ended)} ended; see {start.settings.process_logs_folder}")


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return parts._replace(netloc=f"...@{parts.netloc.rpartition('@')[2]}").geturl()
