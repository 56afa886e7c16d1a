"""`starling up`, killed while an engine was not up yet: `starling down` finds it all the same."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from infra.dev import stack_record
from infra.dev.kafka_broker import KafkaBroker, fetch_jars
from infra.dev.local_engine import EngineMissing
from infra.dev.mongodb_server import find_mongod
from infra.dev.stack_record import StartedProcess
from infra.settings import Settings
from tests.support.requirements import skip_or_fail
from tests.support.starling_program import STARLING, starling, starling_environment

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


def first_started(file: Path, up: "subprocess.Popen[bytes]") -> StartedProcess:
    """The first process that stands in the file, as soon as there is one."""
    while up.poll() is None:
        state = stack_record.read_stack_record(file)
        if state is not None and state.processes:
            return state.processes[0]
        time.sleep(0.005)
    pytest.fail("it ended by itself")


def listens(broker: KafkaBroker) -> bool:
    host, port = broker.address.rpartition("@")[2].split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_down_ends_a_kafka_that_was_still_starting_when_up_was_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    try:
        find_mongod()
        fetch_jars()
    except EngineMissing as error:
        skip_or_fail(str(error))
    settings = Settings(data=tmp_path)
    command: list[str | Path] = [STARLING, "up", "--port", "0", "--data", tmp_path]
    up = subprocess.Popen(command, env=starling_environment(), stderr=subprocess.DEVNULL)
    try:
        kafka = first_started(settings.stack_file, up)
        assert kafka.name == "Kafka"
        assert not listens(KafkaBroker(settings.engines_folder / "kafka"))
    finally:
        up.send_signal(number)
        up.wait()
    try:
        assert kafka.is_running()
        ended = starling("down", "--data", tmp_path)
        assert (ended.returncode, b"Kafka ended" in ended.stderr) == (0, True)
        assert not kafka.is_running()
    finally:
        kafka.stop()
