"""`starling up`: the streaming profile on this machine.

First the engines, then a keeper with everything of ours (`infra.dev.stack_supervisor`), then the
balancer.
All of it outlives the command that started it. Each process stands in a file before anything is
awaited or started after it, so that `starling down` finds all of them, also when this command is
killed in between.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

from infra.cli.errors import UserError
from infra.dev import demo_import, demo_world, load_balancer, stack_record, stack_supervisor
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.dev.stack_record import StackRecord, StartedProcess
from infra.kafka.topic import FeedTopic, ensure_topic
from infra.process.supervisor import open_listener
from infra.settings import Settings

READY_SECONDS: Final = 90.0
"""How long the API may take until it can answer everything."""

Say = Callable[[str], None]


class _StackStart:
    """What was started so far."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.record = StackRecord()

    def record_process(self, name: str, pid: int) -> None:
        """Remember a process, here and in the file. Raises `UserError` where it ended at once."""
        try:
            one = StartedProcess.from_pid(name, pid)
        except ProcessLookupError as error:
            raise UserError(f"{error}; see {self.settings.process_logs_folder}") from error
        self.record = StackRecord((*self.record.processes, one), self.record.places)
        stack_record.write_stack_record(self.settings.stack_file, self.record)

    def record_place(self, name: str, place: str) -> None:
        """Remember where something is."""
        self.record = StackRecord(self.record.processes, self.record.places | {name: place})
        stack_record.write_stack_record(self.settings.stack_file, self.record)


def start_stack(settings: Settings, say: Say) -> StackRecord:
    """Start everything that does not run yet; returns when the API can answer everything.

    Nothing is left running where that fails. Raises `UserError`, `EngineMissing`, `EngineFailed`,
    and what opening the log raises.
    """
    before = stack_record.read_stack_record(settings.stack_file)
    if before is not None and any(process.is_running() for process in before.processes):
        raise UserError("it is up already, or a part of it is: `starling down` ends it")
    settings.process_logs_folder.mkdir(parents=True, exist_ok=True)
    rising = _StackStart(settings, say)
    try:
        _start_in_order(rising)
    except BaseException:
        stack_record.stop_all(rising.record.processes)
        settings.stack_file.unlink(missing_ok=True)
        raise
    return rising.record


def _start_in_order(rising: _StackStart) -> None:
    rising.settings = settings = _start_engines(rising)
    assert settings.kafka is not None
    ensure_topic(settings.kafka, FeedTopic())
    rising.record_place("topic", FeedTopic().name)
    made = asyncio.run(demo_import.import_demo_world(settings))
    if made:
        rising.say("made a demo world")
        rising.record_place(
            "sign in as", f"{demo_world.DEMO_HANDLE} with the password {demo_world.DEMO_PASSWORD}"
        )
    with _open_sockets(rising) as (doors, front):
        rising.record_process("the keeper", _start_supervisor(settings, doors))
    url = f"http://{front}"
    rising.say("waiting until every view is current")
    _wait_until_current(url, rising, current=made)
    rising.record_place("API", url)
    rising.record_place("log of record", str(settings.log_file))
    rising.record_place("what processes say", str(settings.process_logs_folder))


def _start_engines(rising: _StackStart) -> Settings:
    """Start those that the settings don't name; the settings that name both."""
    settings = rising.settings
    if settings.kafka is None:
        rising.say("starting Kafka")
        broker = KafkaBroker(settings.engines_folder.absolute() / "kafka")
        broker.start(partial(rising.record_process, "Kafka"))
        settings = replace(settings, kafka=broker.address)
    if settings.views == "sqlite":
        rising.say("starting MongoDB")
        server = MongoServer(settings.engines_folder.absolute() / "mongodb")
        server.start(partial(rising.record_process, "MongoDB"))
        settings = replace(settings, views=server.address())
    rising.record_place("Kafka", settings.kafka or "")
    rising.record_place("MongoDB", _without_password(settings.views))
    return settings


@contextmanager
def _open_sockets(rising: _StackStart) -> Iterator[tuple[list[socket.socket], str]]:
    """Where API processes listen, and where clients come in (host:port).

    With HAProxy each process has a door of its own; without, all share the one for clients.
    """
    settings = rising.settings
    haproxy = load_balancer.find_haproxy()
    with ExitStack() as stack:
        front = stack.enter_context(_listen_for_clients(settings))
        host, port = front.getsockname()[:2]
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if haproxy is None:
            rising.say("HAProxy is not installed: the API processes share one socket")
            yield [front], place
            return
        doors = [
            stack.enter_context(open_listener("127.0.0.1", 0))
            for _ in range(stack_supervisor.API_PROCESSES)
        ]
        first, second = (f"127.0.0.1:{door.getsockname()[1]}" for door in doors)
        front.close()
        log = settings.process_logs_folder / "haproxy.log"
        rising.record_place("API processes", f"{first} and {second}, behind HAProxy")
        yield doors, place
        # Last to start, first to end: clients find a closed door then, not an empty house.
        rising.record_process(
            "HAProxy", load_balancer.start_haproxy(haproxy, place, (first, second), log).pid
        )


def _listen_for_clients(settings: Settings) -> socket.socket:
    try:
        return open_listener(settings.host, settings.port)
    except OSError as error:
        raise UserError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another port with --port"
        ) from error


def _start_supervisor(settings: Settings, doors: list[socket.socket]) -> int:
    """Start the keeper; its process id. The doors go to it."""
    files = [door.fileno() for door in doors]
    options = [text for file in files for text in ("--door", str(file))]
    with (settings.process_logs_folder / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.dev.stack_supervisor", *options],
            env=settings.to_environment(), pass_fds=files,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        ).pid  # fmt: skip


def _wait_until_current(url: str, rising: _StackStart, current: bool) -> None:
    """Until the API is ready and, where everything is new, until views hold all of it."""
    end = time.monotonic() + READY_SECONDS
    said = "no answer"
    while time.monotonic() < end:
        if gone := [
            process.name for process in rising.record.processes if not process.is_running()
        ]:
            raise UserError(f"{', '.join(gone)} ended; see {rising.settings.process_logs_folder}")
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
                behind = json.load(answer)["projections"]
            if not (current and any(one["lag"] for one in behind.values())):
                return
            said = f"still behind: {behind}"
        except HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    raise UserError(
        f"not ready within {READY_SECONDS:.0f} s ({said}); see "
        f"{rising.settings.process_logs_folder}"
    )


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return parts._replace(netloc=f"...@{parts.netloc.rpartition('@')[2]}").geturl()
