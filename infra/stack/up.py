"""`starling up`: the streaming profile on this machine.

First the engines, then a keeper with everything of ours (`infra.stack.keeper`), then the balancer.
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

from infra import demo, demo_world
from infra.engines.kafka import KafkaBroker
from infra.engines.mongodb import MongoServer
from infra.feeds.kafka_topic import Topic, ensure
from infra.program.plain import Plain
from infra.settings import Settings
from infra.stack import balancer, keeper, processes
from infra.stack.processes import Started, Up
from infra.supervisor import listen

READY_SECONDS: Final = 90.0
"""How long the API may take until it can answer everything."""

Say = Callable[[str], None]


class _Rising:
    """What was started so far."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.up = Up()

    def started(self, name: str, pid: int) -> None:
        """Remember a process, here and in the file. Raises `Plain` where it ended at once."""
        try:
            one = Started.of(name, pid)
        except ProcessLookupError as error:
            raise Plain(f"{error}; see {self.settings.logs_folder}") from error
        self.up = Up((*self.up.processes, one), self.up.places)
        processes.write(self.settings.up_file, self.up)

    def at(self, name: str, place: str) -> None:
        """Remember where something is."""
        self.up = Up(self.up.processes, self.up.places | {name: place})
        processes.write(self.settings.up_file, self.up)


def up(settings: Settings, say: Say) -> Up:
    """Start everything that does not run yet; returns when the API can answer everything.

    Nothing is left running where that fails. Raises `Plain`, `EngineMissing`, `EngineFailed`,
    and what opening the log raises.
    """
    before = processes.read(settings.up_file)
    if before is not None and any(process.runs() for process in before.processes):
        raise Plain("it is up already, or a part of it is: `starling down` ends it")
    settings.logs_folder.mkdir(parents=True, exist_ok=True)
    rising = _Rising(settings, say)
    try:
        _raise(rising)
    except BaseException:
        processes.stop_all(rising.up.processes)
        settings.up_file.unlink(missing_ok=True)
        raise
    return rising.up


def _raise(rising: _Rising) -> None:
    rising.settings = settings = _engines(rising)
    assert settings.kafka is not None
    ensure(settings.kafka, Topic())
    rising.at("topic", Topic().name)
    made = asyncio.run(demo_world.make(settings))
    if made:
        rising.say("made a demo world")
        rising.at("sign in as", f"{demo.HANDLE} with the password {demo.PASSWORD}")
    with _doors(rising) as (doors, front):
        rising.started("the keeper", _keep(settings, doors))
    url = f"http://{front}"
    rising.say("waiting until every view is current")
    _wait(url, rising, current=made)
    rising.at("API", url)
    rising.at("log of record", str(settings.log_file))
    rising.at("what processes say", str(settings.logs_folder))


def _engines(rising: _Rising) -> Settings:
    """Start those that the settings don't name; the settings that name both."""
    settings = rising.settings
    if settings.kafka is None:
        rising.say("starting Kafka")
        broker = KafkaBroker(settings.engines_folder.absolute() / "kafka")
        broker.start(partial(rising.started, "Kafka"))
        settings = replace(settings, kafka=broker.address)
    if settings.views == "sqlite":
        rising.say("starting MongoDB")
        server = MongoServer(settings.engines_folder.absolute() / "mongodb")
        server.start(partial(rising.started, "MongoDB"))
        settings = replace(settings, views=server.address())
    rising.at("Kafka", settings.kafka or "")
    rising.at("MongoDB", _without_password(settings.views))
    return settings


@contextmanager
def _doors(rising: _Rising) -> Iterator[tuple[list[socket.socket], str]]:
    """Where API processes listen, and where clients come in (host:port).

    With HAProxy each process has a door of its own; without, all share the one for clients.
    """
    settings = rising.settings
    haproxy = balancer.program()
    with ExitStack() as stack:
        front = stack.enter_context(_listen(settings))
        host, port = front.getsockname()[:2]
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if haproxy is None:
            rising.say("HAProxy is not installed: the API processes share one socket")
            yield [front], place
            return
        doors = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(keeper.APIS)]
        first, second = (f"127.0.0.1:{door.getsockname()[1]}" for door in doors)
        front.close()
        log = settings.logs_folder / "haproxy.log"
        rising.at("API processes", f"{first} and {second}, behind HAProxy")
        yield doors, place
        # Last to start, first to end: clients find a closed door then, not an empty house.
        rising.started("HAProxy", balancer.start(haproxy, place, (first, second), log).pid)


def _listen(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        raise Plain(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another port with --port"
        ) from error


def _keep(settings: Settings, doors: list[socket.socket]) -> int:
    """Start the keeper; its process id. The doors go to it."""
    files = [door.fileno() for door in doors]
    options = [text for file in files for text in ("--door", str(file))]
    with (settings.logs_folder / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.stack.keeper", *options],
            env=settings.environment(), pass_fds=files,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        ).pid  # fmt: skip


def _wait(url: str, rising: _Rising, current: bool) -> None:
    """Until the API is ready and, where everything is new, until views hold all of it."""
    end = time.monotonic() + READY_SECONDS
    said = "no answer"
    while time.monotonic() < end:
        if gone := [process.name for process in rising.up.processes if not process.runs()]:
            raise Plain(f"{', '.join(gone)} ended; see {rising.settings.logs_folder}")
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
    raise Plain(
        f"not ready within {READY_SECONDS:.0f} s ({said}); see {rising.settings.logs_folder}"
    )


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return parts._replace(netloc=f"...@{parts.netloc.rpartition('@')[2]}").geturl()
