"""A single Apache Kafka broker on this machine, in KRaft mode: for tests and `make up`.

It keeps its data and its ports in one folder, so that a broker that was stopped, or killed, comes
back as the same one.
"""

import base64
import contextlib
import json
import secrets
import socket
import struct
import subprocess
from pathlib import Path
from typing import Final

from infra.dev.kafka_jars import fetch_jars, find_java
from infra.dev.local_engine import HOST, START_SECONDS, EngineFailed, LocalEngine

_API_VERSIONS: Final = struct.pack(
    ">ihhih", 10, 18, 0, 7, -1
)  # size, key, version, number, no name

_JVM: Final = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC")
_QUICK_JVM: Final = ("-Xmx128m", "-XX:TieredStopAtLevel=1")
_LOGGING: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
listeners=CLIENTS://{host}:{clients},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENTS://{host}:{seen_at}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
controlled.shutdown.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""


class KafkaBroker(LocalEngine):
    """A broker whose data lies in `folder`. Not running until `start`, which takes 3 to 8 s."""

    def __init__(self, folder: Path, seen_at: int | None = None) -> None:
        """Raises `EngineMissing` where Java or the jars can't be had; may download them.

        `seen_at` is the port at which it tells clients to come to it, by default its own.
        """
        self._advertised_port = seen_at
        self._java = find_java()
        self._jars = fetch_jars()
        super().__init__(folder, "broker.log")

    @property
    def address(self) -> str:
        """Bootstrap servers: host and port. The same over restarts."""
        return f"{HOST}:{self._chosen_ports()['clients']}"

    def _chosen_ports(self) -> dict[str, int]:
        """Chosen once for the folder and kept in it."""
        file = self._folder / "ports.json"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(
                json.dumps(dict(zip(("clients", "controller"), _free_ports(2), strict=True)))
            )
        return dict(json.loads(file.read_text()))

    def _launch_server(self) -> subprocess.Popen[bytes]:
        return self._run_java(*_JVM, "kafka.Kafka", str(self._prepare_folder()))

    def _wait_until_ready(self) -> None:
        self._poll_until(self._answers_requests, "no answer")

    def _prepare_folder(self) -> Path:
        """Format the folder if it is new; the properties to start with."""
        data = self._folder / "data"
        properties = self._folder / "server.properties"
        ports = self._chosen_ports()
        seen_at = self._advertised_port or ports["clients"]
        properties.write_text(_PROPERTIES.format(host=HOST, data=data, seen_at=seen_at, **ports))
        if not (data / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            tool = ["kafka.tools.StorageTool", "format", "--cluster-id", f"c{cluster[1:]}"]
            formatting = self._run_java(*_QUICK_JVM, *tool, "--config", str(properties))
            if formatting.wait(START_SECONDS):
                raise EngineFailed(f"the storage can't be formatted\n{self._log_tail()}")
        return properties

    def _run_java(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self._run_command([self._java, _LOGGING, "-cp", f"{self._jars}/*", *arguments])

    def _answers_requests(self) -> bool:
        """Whether it says which versions of its protocol it speaks, as to any client."""
        with contextlib.suppress(OSError):
            host, port = self.address.split(":")
            with socket.create_connection((host, int(port)), timeout=1) as connection:
                connection.sendall(_API_VERSIONS)
                return connection.recv(8)[4:] == struct.pack(">i", 7)
        return False


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]
