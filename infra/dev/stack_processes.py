"""The processes that `starling up` starts itself, each by a name, and how it is started again.

All of them are sessions of their own and outlive the process that starts them. A process is
recorded before anything is awaited.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import LocalEngine
from infra.dev.mongodb_server import MongoServer
from infra.dev.stack_record import (
    StackFailed,
    StackRecord,
    StartedProcess,
    locked_record,
    read_stack_record,
    write_stack_record,
)
from infra.files.atomic_write import open_private
from infra.process.child import python_command
from infra.settings import Settings

KAFKA: Final = "Kafka"
MONGODB: Final = "MongoDB"
HAPROXY: Final = "HAProxy"
ID_SERVER: Final = "the id server"
SUPERVISOR: Final = "the stack supervisor"

HAPROXY_CONFIGURATION: Final = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"
"""The one that containers use, too."""


def kafka_of_stack(settings: Settings) -> KafkaBroker:
    """The broker of a data folder. Raises `EngineMissing`."""
    return KafkaBroker(settings.engines_folder.absolute() / "kafka", authenticated=True)


def mongodb_of_stack(settings: Settings) -> MongoServer:
    """The server of a data folder. Raises `EngineMissing`."""
    return MongoServer(settings.engines_folder.absolute() / "mongodb", authenticated=True)


def launch_recorded(settings: Settings, name: str, launch: Callable[[], int]) -> bool:
    """Start a process and record its id, in one step for `starling down`.

    False, with nothing started, where the stack is about to end or the process runs. Raises
    `StackFailed` if it ended at once, and what `launch` raises.
    """
    file = settings.stack_file
    with locked_record(file):
        record = read_stack_record(file)
        if record is None or record.stopping or _is_running(record, name):
            return False
        try:
            process = StartedProcess.from_pid(name, launch())
        except ProcessLookupError as error:
            raise StackFailed(f"{error}; see {settings.process_logs_folder}") from error
        write_stack_record(file, record.with_process(process))
    return True


def start_engine(settings: Settings, name: str, engine: LocalEngine) -> bool:
    """Start an engine and wait until it answers; False as `launch_recorded`. Raises
    `EngineFailed`, `StackFailed`."""

    def launch() -> int:
        engine.launch()
        assert engine.pid is not None
        return engine.pid

    if not launch_recorded(settings, name, launch):
        return False
    engine.wait_until_ready()
    return True


def _is_running(record: StackRecord, name: str) -> bool:
    return any(one.is_running() for one in record.processes if one.name == name)


def find_haproxy() -> str | None:
    """HAProxy's path; None if it is not installed. On Debian it is in a folder of root's `PATH`."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def start_haproxy(
    haproxy: str, front: str, apis: tuple[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Balance between two API processes; addresses are host:port. Raises `OSError`."""
    addresses = {"STARLING_FRONT": front, "STARLING_API_1": apis[0], "STARLING_API_2": apis[1]}
    with open(log, "ab", opener=open_private) as output:
        return subprocess.Popen(
            # In the foreground, without a master: one process, whose id is the one to record.
            [haproxy, "-db", "-f", HAPROXY_CONFIGURATION],
            env={"PATH": os.defpath, **addresses},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def start_id_server(settings: Settings) -> "subprocess.Popen[bytes]":
    """Start `starling ids serve` where the settings name it. Raises `OSError`."""
    place = urlsplit(settings.id_server or "")
    program = ("-c", "from infra.cli.main import main; main()")
    path = settings.process_logs_folder / "id-server.log"
    with open(path, "ab", opener=open_private) as log:
        return subprocess.Popen(
            python_command(
                *program, "ids", "serve", "--host", str(place.hostname), "--port", str(place.port)
            ),
            env=settings.to_environment(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def start_supervisor(settings: Settings, listeners: Sequence[int]) -> int:
    """Start the stack supervisor, which inherits the sockets; returns its process id."""
    options = [text for file in listeners for text in ("--listener", str(file))]
    path = settings.process_logs_folder / "stack-supervisor.log"
    with open(path, "ab", opener=open_private) as log:
        return subprocess.Popen(
            python_command("-m", "infra.dev.stack_supervisor", *options),
            env=settings.to_environment(), pass_fds=listeners,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        ).pid  # fmt: skip
