"""A single Apache Kafka broker on this machine, in KRaft mode: for tests and `make up`.

Its data and its ports are in one folder, so that a broker that was stopped or killed comes back as
the same one. Kafka's jars are fetched once by Maven, into a folder that git ignores.
"""

import base64
import contextlib
import json
import re
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from infra.dev.local_engine import (
    HOST,
    START_SECONDS,
    EngineFailed,
    EngineMissing,
    LocalEngine,
    free_ports,
)
from infra.files.atomic_write import write_atomically
from infra.process.file_locks import FileLock

POM: Final = Path(__file__).with_name("pom.xml")
JARS_FOLDER: Final = Path(__file__).resolve().parents[2] / ".engines"

_DOWNLOAD_SECONDS: Final = 600.0
_JAVA_VERSION: Final = 17

_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 7, -1)
"""A request: its size, key, version, number, and no name of a client."""

_JVM: Final = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC")
_QUICK_JVM: Final = ("-Xmx128m", "-XX:TieredStopAtLevel=1")
_LOGGING: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
listeners=CLIENTS://{host}:{clients},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENTS://{host}:{advertised_port}
listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:{protocol}
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


_AUTHENTICATION: Final = """\
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config={module} required \\
  username="broker" password="{broker}" user_broker="{broker}" user_{user}="{password}";
listener.name.controller.plain.sasl.jaas.config={module} required \\
  username="broker" password="{broker}" user_broker="{broker}";
"""
_USER: Final = "starling"
_LOGIN_MODULE: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"


class KafkaBroker(LocalEngine):
    """A broker whose data lies in `folder`. Not running until `start`, which takes 3 to 8 s."""

    def __init__(
        self, folder: Path, advertised_port: int | None = None, authenticated: bool = False
    ) -> None:
        """Raises `EngineMissing` where Java or the jars can't be had; may download them.

        `advertised_port` is the port that it advertises to clients, by default its own. An
        `authenticated` one lets in just who has the password of its `address`.
        """
        self._authenticated = authenticated
        self._advertised_port = advertised_port
        self._java = find_java()
        self._jars = fetch_jars()
        super().__init__(folder, "broker.log")

    @property
    def address(self) -> str:
        """A value for `STARLING_KAFKA`. The same over restarts."""
        server = f"{HOST}:{self._chosen_ports()['clients']}"
        if self._authenticated:
            return f"kafka://{_USER}:{self._secret('password')}@{server}"
        return server

    def _chosen_ports(self) -> dict[str, int]:
        """Chosen once for the folder and kept in it."""
        file = self._folder / "ports.json"
        if not file.exists():
            self._make_folder()
            ports = dict(zip(("clients", "controller"), free_ports(2), strict=True))
            write_atomically(file, json.dumps(ports).encode())
        return dict(json.loads(file.read_text()))

    def _launch_server(self) -> subprocess.Popen[bytes]:
        return self._run_java(*_JVM, "kafka.Kafka", str(self._prepare_folder()))

    def _wait_until_ready(self) -> None:
        self._poll_until(self._answers_requests, "no answer")

    def _prepare_folder(self) -> Path:
        """Format the folder if it is new; returns the file of properties to start with."""
        data = self._folder / "data"
        properties = self._folder / "server.properties"
        ports = self._chosen_ports()
        advertised = self._advertised_port or ports["clients"]
        protocol = "SASL_PLAINTEXT" if self._authenticated else "PLAINTEXT"
        text = _PROPERTIES.format(
            host=HOST, data=data, advertised_port=advertised, protocol=protocol, **ports
        )
        if self._authenticated:
            text += _AUTHENTICATION.format(
                module=_LOGIN_MODULE, user=_USER,
                password=self._secret("password"), broker=self._secret("broker-password"),
            )  # fmt: skip
        write_atomically(properties, text.encode())
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
        """Whether it answers a client's first request, for the versions of its protocol."""
        with contextlib.suppress(OSError):
            place = HOST, self._chosen_ports()["clients"]
            with socket.create_connection(place, timeout=1) as connection:
                connection.sendall(_API_VERSIONS)
                return connection.recv(8)[4:] == struct.pack(">i", 7)
        return False


def find_java() -> str:
    """The `java` to run Kafka with. Raises `EngineMissing` where there is none of 17 or newer."""
    found = shutil.which("java")
    if found is None:
        raise EngineMissing(
            f"Kafka needs Java {_JAVA_VERSION} or newer; on Debian: apt-get install "
            f"openjdk-17-jre-headless"
        )
    command = [found, "-version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', printed)
    if version is None or int(version[1]) < _JAVA_VERSION:
        raise EngineMissing(
            f"Kafka needs Java {_JAVA_VERSION} or newer, {found} says: {printed.strip()}"
        )
    return found


def fetch_jars(folder: Path = JARS_FOLDER) -> Path:
    """The folder with the jars of the version that `pom.xml` names; downloads them if need be.

    Two processes may call it at once: one downloads, the other waits. The folder appears whole
    or not at all. Takes half a minute the first time. Raises `EngineMissing`.
    """
    pom = POM.read_text(encoding="utf-8")
    version = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\w.-]+)<", pom)
    if version is None:
        raise EngineMissing(f"{POM} names no version of Kafka")
    jars = folder / f"kafka-{version[1]}"
    if jars.is_dir():
        return jars
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", wait=True):
        if not jars.is_dir():
            _download_jars(jars)
    return jars


def _download_jars(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise EngineMissing("Kafka's jars come through Maven; on Debian: apt-get install maven")
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-download-") as folder:
        command = [
            maven, "--batch-mode", "--quiet", "--file", str(POM), "dependency:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={folder}/jars",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise EngineMissing(f"Maven did not bring Kafka in {_DOWNLOAD_SECONDS:.0f} s") from None
        if done.returncode:
            raise EngineMissing(f"Maven could not bring Kafka:\n{done.stdout}{done.stderr}")
        Path(folder, "jars").rename(jars)
