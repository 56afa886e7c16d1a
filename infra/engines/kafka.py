"""A single Apache Kafka broker on this machine, in KRaft mode: for tests and `make up`.

It keeps its data and its ports in one folder, so that a broker that was stopped, or killed, comes
back as the same one.
"""

import base64
import contextlib
import json
import secrets
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.engines.kafka_jars import fetch, java

HOST: Final = "127.0.0.1"

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
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
advertised.listeners=CLIENTS://{host}:{clients}
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


class BrokerFailed(Exception):
    """The broker did not come up; the message ends with its last words."""


class KafkaBroker:
    """A broker whose data lies in `folder`. Not running until `start`."""

    def __init__(self, folder: Path) -> None:
        """Raises `EngineMissing` where Java or the jars can't be had; may download them."""
        self._java = java()
        self._jars = fetch()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Bootstrap servers: host and port. The same over restarts."""
        return f"{HOST}:{self._ports()['clients']}"

    @property
    def pid(self) -> int | None:
        """The process id while this object runs it."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Run the broker and return when it answers, 3 to 8 seconds. Raises `BrokerFailed`."""
        if self._process is not None:
            raise BrokerFailed("it is running already")
        properties = self._prepared()
        self._process = self._run(*_JVM, "kafka.Kafka", str(properties))
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in order. Nothing where it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """`kill -9`. Nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it hang, with its connections open, until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _ports(self) -> dict[str, int]:
        """Chosen once for the folder and kept in it."""
        file = self._folder / "ports.json"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(dict(zip(("clients", "controller"), _free(2), strict=True))))
        return dict(json.loads(file.read_text()))

    def _prepared(self) -> Path:
        """Format the folder if it is new; the properties to start with."""
        data = self._folder / "data"
        properties = self._folder / "server.properties"
        properties.write_text(_PROPERTIES.format(host=HOST, data=data, **self._ports()))
        if not (data / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            tool = ["kafka.tools.StorageTool", "format", "--cluster-id", f"c{cluster[1:]}"]
            formatting = self._run(*_QUICK_JVM, *tool, "--config", str(properties))
            if formatting.wait(_START_SECONDS):
                raise BrokerFailed(f"the storage can't be formatted\n{self._last_words()}")
        return properties

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in a terminal is for who started it, who then stops it.
        with (self._folder / "broker.log").open("ab") as log:
            return subprocess.Popen(
                [self._java, _LOGGING, "-cp", f"{self._jars}/*", *arguments],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                raise BrokerFailed(f"it ended by itself\n{self._last_words()}")
            if time.monotonic() > end:
                raise BrokerFailed(f"no answer in {_START_SECONDS:.0f} s\n{self._last_words()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether it says which versions of its protocol it speaks, as to any client."""
        with contextlib.suppress(OSError):
            host, port = self.address.split(":")
            with socket.create_connection((host, int(port)), timeout=1) as connection:
                connection.sendall(_API_VERSIONS)
                return connection.recv(8)[4:] == struct.pack(">i", 7)
        return False

    def _last_words(self) -> str:
        return (self._folder / "broker.log").read_text(errors="replace")[-3000:]


@contextmanager
def running(folder: Path) -> Iterator[KafkaBroker]:
    """A broker that runs during the block. Raises `EngineMissing`, `BrokerFailed`."""
    broker = KafkaBroker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _free(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]
