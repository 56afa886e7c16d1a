"""`starling up`, killed while an engine was not up yet: `starling down` finds it all the same."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from infra.engines.engine import EngineMissing
from infra.engines.kafka import KafkaBroker
from infra.engines.kafka_jars import fetch
from infra.engines.mongodb import mongod
from infra.settings import Settings
from infra.stack import processes
from infra.stack.processes import Started
from tests.outside import missing
from tests.program import STARLING, environment, starling

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


def first_started(file: Path, up: "subprocess.Popen[bytes]") -> Started:
    """The first process that stands in the file, as soon as there is one."""
    while up.poll() is None:
        state = processes.read(file)
        if state is not None and state.processes:
            return state.processes[0]
        time.sleep(0.005)
    pytest.fail("it ended by itself")


def listens(broker: KafkaBroker) -> bool:
    host, port = broker.address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_down_ends_a_kafka_that_was_still_starting_when_up_was_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    try:
        mongod()
        fetch()
    except EngineMissing as error:
        missing(str(error))
    settings = Settings(data=tmp_path)
    command: list[str | Path] = [STARLING, "up", "--port", "0", "--data", tmp_path]
    up = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
    try:
        kafka = first_started(settings.up_file, up)
        assert kafka.name == "Kafka"
        assert not listens(KafkaBroker(settings.engines_folder / "kafka"))
    finally:
        up.send_signal(number)
        up.wait()
    try:
        assert kafka.runs()
        ended = starling("down", "--data", tmp_path)
        assert (ended.returncode, b"Kafka ended" in ended.stderr) == (0, True)
        assert not kafka.runs()
    finally:
        kafka.stop()
