"""A stand-in for one node of EventStoreDB: a test double, over a real TCP connection.

In a test's process, on a thread of its own:

    with EventStoreNode() as node:
        log = EventStoreLog(node.address, ...)
        node.faults.appends.append(Fault.ANSWER_LOST)

or as a process of its own, which prints its port and ends with its standard input:

    python -m tests.standins.event_store_node --file LOG --delay-ms 1

It is one node with one writer: no cluster, scavenging, projections, persistent subscriptions.
"""

import argparse
import asyncio
import base64
import ssl
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import infra.eventstoredb.client_package  # noqa: F401 - the imports below need it

# isort: split
import uvloop
from eventstoredb.generated.event_store.client import Empty
from eventstoredb.generated.event_store.client.gossip import ClusterInfo, GossipBase
from grpclib.config import Configuration
from grpclib.const import Handler, Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from tests.standins.event_store import EventStore
from tests.standins.node_faults import NodeFaults
from tests.standins.streams_endpoint import StreamsEndpoint
from tests.standins.wire_messages import PROTOBUF_MESSAGES
from tests.support.requirements import REPOSITORY

LEADER: Final = 8
FOLLOWER: Final = 6
_WINDOW: Final = 1 << 24

T = TypeVar("T")


class GossipEndpoint(GossipBase):
    """Tells the members of a cluster: (host, port, state)."""

    def __init__(self, members: list[tuple[str, int, int]]) -> None:
        self._members = members

    def __mapping__(self) -> dict[str, Handler]:
        """As the base has it, with protobuf's messages for betterproto's."""
        (path, handler), *_ = super().__mapping__().items()
        kinds = PROTOBUF_MESSAGES[Empty], PROTOBUF_MESSAGES[ClusterInfo]
        return {path: Handler(handler.func, handler.cardinality, *kinds)}

    async def read(self, client_empty: Any) -> Any:
        """The members, all of them alive."""
        info = PROTOBUF_MESSAGES[ClusterInfo]()
        for host, port, state in self._members:
            member = info.members.add(state=state, is_alive=True)
            member.http_end_point.address, member.http_end_point.port = host, port
        return info


class EventStoreNode:
    """A node on a thread of this process.

    With `file` a node started again has the log of before. With `users` (name -> password) a call
    needs one of them. With `tls` it serves TLS.
    """

    def __init__(
        self,
        file: Path | None = None,
        users: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.faults: Final = NodeFaults()
        self.members: Final[list[tuple[str, int, int]]] = []
        """What its gossip tells; itself as the leader where it is empty."""
        self.port = 0
        self._file = file
        self._users = users
        self._tls = tls
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Server | None = None
        self.store: EventStore

    @property
    def address(self) -> str:
        """For a client without a user."""
        return f"esdb://127.0.0.1:{self.port}?tls={str(self._tls is not None).lower()}"

    def start(self) -> None:
        """Listen, on the port of before where it was stopped."""
        if not self._thread.is_alive():
            self._thread.start()
        self._run(self._start())

    def stop(self) -> None:
        """Cut every connection; what was appended stays in the file."""
        self._run(self._stop())

    def cut_connections(self) -> None:
        """Cut every connection that there is now."""
        self._run(self._cut())

    def __enter__(self) -> "EventStoreNode":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        self.store = EventStore(self._file)
        self._server = Server(
            [StreamsEndpoint(self.store, self.faults), GossipEndpoint(self.members)],
            codec=ProtoCodec(),
            config=Configuration(
                http2_connection_window_size=_WINDOW, http2_stream_window_size=_WINDOW
            ),
        )
        listen(self._server, RecvRequest, self._check_user)
        await self._server.start("127.0.0.1", self.port, ssl=self._tls)
        sockets = self._server._server.sockets  # type: ignore[union-attr]
        self.port = sockets[0].getsockname()[1]
        if not self.members:
            self.members.append(("127.0.0.1", self.port, LEADER))

    async def _cut(self) -> None:
        assert self._server is not None
        for handler in self._server._handlers:
            for stream in list(handler._tasks):
                if not stream._transport.is_closing():
                    stream._transport.abort()
        await asyncio.sleep(0)

    async def _stop(self) -> None:
        assert self._server is not None
        await self._cut()
        self._server.close()
        await self._server.wait_closed()
        self.store.close()
        self._server = None

    async def _check_user(self, request: RecvRequest) -> None:
        if self._users is None:
            return
        given = str(request.metadata.get("authorization", ""))
        if not given:
            raise GRPCError(Status.PERMISSION_DENIED, "Access Denied")
        user, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        if self._users.get(user) != password:
            raise GRPCError(Status.UNAUTHENTICATED, "Not Authenticated")


class EventStoreProcess:
    """A node in a process of its own, which can be killed."""

    def __init__(self, file: Path, delay_ms: float = 0) -> None:
        self._options = ["--file", str(file), "--delay-ms", str(delay_ms)]
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """For a client."""
        return f"esdb://127.0.0.1:{self.port}?tls=false"

    def start(self) -> None:
        """Start it, on the port of before where it was killed."""
        module = "tests.standins.event_store_node"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--port", str(self.port), *self._options],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

    def __enter__(self) -> "EventStoreProcess":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.standins.event_store_node")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    node = EventStoreNode(arguments.file)
    node.port = arguments.port
    node.faults.delay = arguments.delay_ms / 1000
    with node:
        print(node.port, flush=True)  # noqa: T201 - whom it serves has to know it
        sys.stdin.read()


if __name__ == "__main__":
    main()
