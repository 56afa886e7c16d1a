"""The ways to make ids that `starling ids compare` tries: what each runs, and what is taken away.

| way | its servers | taken away |
|---|---|---|
| `snowflake` | the file of the leases | it is locked by another process, as it were |
| `tickets` | two files | the one of odd numbers is locked likewise |
| `global` | `starling ids serve` | killed with SIGKILL, and started again |
| `tickets in MongoDB` | two mongods | the one of odd numbers is killed, and started again |
"""

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Protocol, get_args

from events.ids.id_blocks import EVEN_TICKETS, ID_SERVER_BLOCKS, IDS_PER_BLOCK, ODD_TICKETS
from infra.dev.local_engine import EngineFailed, running_engine
from infra.process.child import python_command
from infra.settings import Settings, WayToMakeIds
from infra.sqlite.id_blocks import SqliteBlocks

WAYS: Final = get_args(WayToMakeIds)
IN_MONGODB: Final = "tickets in MongoDB"

_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:(\d+)")


class ComparedWay(Protocol):
    """One way, at work in a folder of its own."""

    @property
    def settings(self) -> Settings:
        """Of the processes that make ids."""
        ...

    @property
    def taken_away(self) -> str:
        """What an outage takes away."""
        ...

    def outage(self) -> AbstractContextManager[None]:
        """Without that, for the length of the block. Raises `EngineFailed`."""
        ...

    def numbers_handed_out(self) -> int:
        """Of all blocks; 0 where there are none."""
        ...


def open_way(name: str, folder: Path, stack: ExitStack) -> ComparedWay:
    """A way of `WAYS`, or `IN_MONGODB`; the stack ends its servers. Raises `EngineFailed`, and
    `EngineMissing` without a mongod."""
    if name == IN_MONGODB:
        return _TicketsInMongodb(folder, stack)
    if name == "global":
        return _ByIdServer(folder, stack)
    return _OverFiles(Settings(data=folder, ids="tickets" if name == "tickets" else "snowflake"))


class _OverFiles:
    """Snowflake, and tickets of two files."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        tickets = settings.ids == "tickets"
        self.taken_away = "the odd ticket server" if tickets else "the leases"
        self._locked = settings.ticket_files[0] if tickets else settings.leases_file

    @contextmanager
    def outage(self) -> Iterator[None]:
        with closing(sqlite3.connect(self._locked, timeout=20, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    def numbers_handed_out(self) -> int:
        if self.settings.ids != "tickets":
            return 0
        series = (ODD_TICKETS, EVEN_TICKETS)
        servers = map(SqliteBlocks, self.settings.ticket_files, series)
        return IDS_PER_BLOCK * sum(server.read_ledger().blocks_given for server in servers)


class _ByIdServer:
    """Blocks of one id server."""

    taken_away = "the id server"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self.settings = Settings(data=folder, ids="global")
        self._server, port = self._start_server(0)
        self._port = port
        address = f"http://127.0.0.1:{port}"
        self.settings = self.settings.model_copy(update={"id_server": address})

    def _start_server(self, port: int) -> "tuple[subprocess.Popen[str], int]":
        program = ("-c", "from infra.cli.main import main; main()")
        command = python_command(
            *program, "ids", "serve", "--port", str(port), "--data", str(self.settings.data)
        )
        environment = self.settings.to_environment()
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self._stack.callback(end_process, server)
        assert server.stderr is not None
        found = _ADDRESS.search(line := server.stderr.readline())
        if found is None:
            raise EngineFailed(f"the id server did not start: {line.strip()}")
        return server, int(found[1])

    @contextmanager
    def outage(self) -> Iterator[None]:
        end_process(self._server)
        yield
        self._server, _ = self._start_server(self._port)

    def numbers_handed_out(self) -> int:
        ledger = SqliteBlocks(self.settings.id_server_file, ID_SERVER_BLOCKS).read_ledger()
        return IDS_PER_BLOCK * ledger.blocks_given


class _TicketsInMongodb:
    """Tickets of two MongoDB servers that know nothing of one another."""

    taken_away = "the odd mongod"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        # Here, for they need the packages of the streaming profile.
        from infra.dev.mongodb_server import MongoServer
        from infra.mongodb.id_blocks import MongoBlocks

        self._odd, even = (
            stack.enter_context(running_engine(MongoServer(folder / name)))
            for name in ("odd", "even")
        )
        places = self._odd.address(), even.address()
        self.settings = Settings(
            data=folder / "data", ids="tickets", views=places[1], tickets=" ".join(places)
        )
        self._servers = [
            stack.enter_context(closing(MongoBlocks(place, name, series, timeout_seconds=20.0)))
            for place, name, series in zip(
                places, ("odd", "even"), (ODD_TICKETS, EVEN_TICKETS), strict=True
            )
        ]

    @contextmanager
    def outage(self) -> Iterator[None]:
        self._odd.kill()
        yield
        self._odd.start()

    def numbers_handed_out(self) -> int:
        return IDS_PER_BLOCK * sum(one.read_ledger().blocks_given for one in self._servers)


def end_process(process: "subprocess.Popen[str]") -> None:
    """`kill -9`, and close its pipes; nothing more where it has ended."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
