"""The connection to the node that leads: TLS, credentials, keep-alive, discovery, reconnecting.

A gRPC channel belongs to one event loop, and the log is used from any thread. So the connection
owns a thread with an event loop; its coroutines run there, and `run` has them run from elsewhere.
"""

import asyncio
import base64
import re
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import h2.exceptions
import uvloop

import infra.eventstoredb.client_package  # noqa: F401 - the imports below need it

# isort: split
from eventstoredb import Client
from eventstoredb.client.types import ClientOptions
from eventstoredb.generated.event_store.client import Empty
from eventstoredb.generated.event_store.client.gossip import GossipStub, MemberInfoVNodeState
from grpclib.client import Channel, Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import SendRequest, listen
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from events.log import LogUnavailable
from infra.eventstoredb.address import Endpoint, EventStoreAddress
from infra.eventstoredb.many_messages import BatchAppendCall, ReadCall, receive_replies
from infra.eventstoredb.node_errors import CallFailed, CallRefused, PositionRefused
from infra.eventstoredb.wire import (
    BatchAppendReply,
    BatchAppendRequest,
    ReadReply,
    ReadRequest,
)

T = TypeVar("T")

TRIES: Final = 3
"""A call that failed is made again until so many times its deadline have passed."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
"""Seconds between two tries."""

CLOSING_SECONDS: Final = 0.002
"""That a cut connection takes until it is closed."""
READS_AT_ONCE: Final = 64
"""A node lets a connection have a hundred calls."""

_WINDOW: Final = 1 << 24
"""Bytes under way to us."""
_STREAMS: Final = "/event_store.client.streams.Streams"

_REFUSALS: Final = (
    Status.FAILED_PRECONDITION, Status.INVALID_ARGUMENT, Status.PERMISSION_DENIED,
    Status.UNAUTHENTICATED, Status.UNIMPLEMENTED,
)  # fmt: skip
_BAD_POSITION: Final = re.compile("ReadAllResult: (Error|InvalidPosition)|invalid ?position", re.I)
# A connection that ends in the midst of a call shows in grpclib as any of these.
_BROKEN: Final = (
    OSError, StreamTerminatedError, ProtocolError, h2.exceptions.ProtocolError, AssertionError,
    AttributeError,
)  # fmt: skip


class NodeClient(Client):
    """The package's client with what it lacks: TLS, credentials, keep-alive, windows."""

    def __init__(self, endpoint: Endpoint, address: EventStoreAddress) -> None:
        super().__init__(ClientOptions(host=endpoint.host, port=endpoint.port))
        self.endpoint: Final = endpoint
        self._address = address
        self._headers = {"requires-leader": "true"}
        if address.user is not None:
            login = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
            self._headers["authorization"] = f"Basic {login}"

    @property
    def channel(self) -> Channel:
        """Made at the first use, on the running loop."""
        if self._channel is None:
            self._channel = Channel(
                self.endpoint.host,
                self.endpoint.port,
                codec=ProtoCodec(),  # left to itself, grpclib would import Google's protobuf, too
                ssl=_tls_context(self._address) if self._address.tls else None,
                config=_channel_configuration(self._address),
            )
            listen(self._channel, SendRequest, self._add_headers)
        return self._channel

    @property
    def is_connected(self) -> bool:
        """Whether the next call goes over the connection of the last one."""
        return self._channel is not None and self._channel._connected

    async def connect(self) -> None:
        """Raises `OSError`, `TimeoutError`."""
        async with asyncio.timeout(self._address.deadline):
            await self.channel.__connect__()

    def close(self) -> None:
        """End every call of it. The connection is cut: TLS would wait for the node's farewell, and
        a node that is out of reach gives none."""
        if self._channel is not None:
            protocol = self._channel._protocol
            transport = getattr(protocol and protocol.connection, "_transport", None)
            self._channel.close()
            if transport is not None:
                transport.abort()

    async def _add_headers(self, request: SendRequest) -> None:
        request.metadata.update(self._headers)


class NodeConnection:
    """Calls to the leader, over one channel. Coroutines run on its thread's event loop."""

    def __init__(self, address: EventStoreAddress) -> None:
        self.address: Final = address
        self.loop: Final = uvloop.new_event_loop()
        self.check_node: Callable[[NodeClient], Awaitable[None]] | None = None
        """Called with each new connection before anything else uses it; what it raises is what
        the call raises that needed the connection."""
        self._client: NodeClient | None = None
        self._named_leader: Endpoint | None = None
        self._connecting = asyncio.Lock()
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="EventStoreDB", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the connection's thread, and wait. Raises `LogUnavailable` when closed."""
        return self.start(work).result()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run on the connection's thread. Raises `LogUnavailable` when closed."""
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(self._until_closed(work), self.loop)
        work.close()
        raise LogUnavailable(f"the log {self.address} is closed")

    async def _until_closed(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except asyncio.CancelledError:
            self.require_open()
            raise

    def require_open(self) -> None:
        """Raises `LogUnavailable` when closed."""
        if self._closed:
            raise LogUnavailable(f"the log {self.address} is closed")

    def close(self, finish: Coroutine[Any, Any, None] | None = None) -> None:
        """End all calls and the thread, after `finish` has run."""
        with self._lock:
            first, self._closed = not self._closed, True
        if not first:
            if finish is not None:
                finish.close()
            return
        asyncio.run_coroutine_threadsafe(self._close(finish), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _close(self, finish: Coroutine[Any, Any, None] | None) -> None:
        if finish is not None:
            await finish
        tasks = asyncio.all_tasks(self.loop) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.drop()
        await asyncio.sleep(CLOSING_SECONDS)

    def drop(self) -> None:
        """End every call and connect anew at the next one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def read(self, request: ReadRequest, client: NodeClient | None = None) -> list[bytes]:
        """The replies to a read, all of them, tried again where the call fails.

        Raises `PositionRefused`, `LogUnavailable`. With `client`: one try, through it, which raises
        `CallFailed`.
        """
        if client is not None:
            return await self._read_once(client, request)
        return await self._retry(lambda found: self._read_once(found, request))

    @asynccontextmanager
    async def subscription(self, request: ReadRequest) -> AsyncIterator[ReadCall]:
        """A subscription's call. Raises `CallFailed`, also while its replies are awaited."""
        client = await self.client()
        async with self._calling(_read_call(client, None)) as call:
            await call.send_message(request, end=True)
            yield call
            await call.cancel()  # grpclib would wait for its end

    @asynccontextmanager
    async def batch_append(self) -> AsyncIterator[BatchAppendCall]:
        """A call that appends until it is left. Raises `CallFailed`, also while it is used."""
        client = await self.client()
        call = client.channel.request(
            f"{_STREAMS}/BatchAppend",
            Cardinality.STREAM_STREAM,
            BatchAppendRequest,
            BatchAppendReply,
        )
        async with self._calling(call) as opened:
            yield opened

    async def client(self) -> NodeClient:
        """Connected to the leader, as far as that is known. Raises `CallFailed`, `LogReplaced`."""
        async with self._connecting:
            if self._client is not None and not self._client.is_connected:
                self.drop()
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> NodeClient:
        leader, self._named_leader = self._named_leader, None
        if leader is None:
            leader = await self._find_leader()
        client = NodeClient(leader, self.address)
        try:
            await client.connect()
            if self.check_node is not None:
                await self.check_node(client)
        except ssl.SSLCertVerificationError as error:
            raise CallRefused(
                f"{client.endpoint} shows no certificate to trust: {error}"
            ) from error
        except (OSError, TimeoutError) as error:
            raise CallFailed(f"cannot connect to {leader}: {_words(error)}") from error
        except BaseException:
            client.close()
            raise
        return client

    async def _find_leader(self) -> Endpoint:
        """Ask the nodes of the address which of them leads. Raises `CallFailed`."""
        endpoints = self.address.endpoints
        if not self.address.discover:
            return endpoints[0]
        end = self.loop.time() + self.address.deadline
        for attempt in range(self.address.max_discover_attempts):
            if attempt:
                await asyncio.sleep(self.address.discovery_interval)
            for endpoint in endpoints:
                with suppress(GRPCError, TimeoutError, *_BROKEN):
                    leader = await self._ask_for_leader(endpoint)
                    if leader is not None:
                        return leader
            if self.loop.time() > end:
                break
        raise CallFailed(f"none of {', '.join(map(str, endpoints))} knows a leader")

    async def _ask_for_leader(self, endpoint: Endpoint) -> Endpoint | None:
        client = NodeClient(endpoint, self.address)
        try:
            async with asyncio.timeout(self.address.gossip_timeout):
                info = await GossipStub(client.channel).read(Empty())
        finally:
            client.close()
        for member in info.members:
            if member.is_alive and member.state == MemberInfoVNodeState.Leader:
                return Endpoint(member.http_end_point.address, member.http_end_point.port)
        return None

    async def _retry(self, call: Callable[[NodeClient], Awaitable[T]]) -> T:
        give_up = self.loop.time() + TRIES * self.address.deadline
        pause = FIRST_PAUSE
        while True:
            try:
                return await call(await self.client())
            except PositionRefused:
                raise
            except CallRefused as error:
                raise LogUnavailable(f"the log {self.address} refuses: {error}") from error
            except CallFailed as error:
                if self.loop.time() + pause > give_up:
                    raise LogUnavailable(f"the log {self.address} does not answer: {error}") from (
                        error
                    )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _read_once(self, client: NodeClient, request: ReadRequest) -> list[bytes]:
        async with (
            self._reading,
            self._calling(_read_call(client, self.address.deadline)) as call,
        ):
            await call.send_message(request, end=True)
            return await receive_replies(call)

    @asynccontextmanager
    async def _calling(self, call: Stream[Any, Any]) -> AsyncIterator[Stream[Any, Any]]:
        """Tell what came of a call in the words of this package."""
        try:
            async with call:
                yield call
        except GRPCError as error:
            raise self._failure(error, call) from error
        except TimeoutError as error:
            self.drop()
            raise CallFailed(f"no answer within {self.address.deadline:g} s") from error
        except _BROKEN as error:
            self.drop()
            raise CallFailed(f"the connection broke: {_words(error)}") from error

    def _failure(self, error: GRPCError, call: Stream[Any, Any]) -> CallFailed:
        words = error.message or error.status.name
        trailers: Mapping[str, object] = call.trailing_metadata or {}
        if error.status is Status.NOT_FOUND and "leader-endpoint-host" in trailers:
            host = str(trailers["leader-endpoint-host"])
            self._named_leader = Endpoint(host, int(str(trailers["leader-endpoint-port"])))
            self.drop()
            return CallFailed(f"another node leads: {self._named_leader}")
        if _BAD_POSITION.search(words):
            return PositionRefused(words)
        if error.status in _REFUSALS:
            return CallRefused(words)
        if self.address.discover:
            self.drop()  # another node may lead by now: ask again
        return CallFailed(words)


def _read_call(client: NodeClient, timeout: float | None) -> ReadCall:
    return client.channel.request(
        f"{_STREAMS}/Read", Cardinality.UNARY_STREAM, ReadRequest, ReadReply, timeout=timeout
    )


def _tls_context(address: EventStoreAddress) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=address.tls_ca_file)
    if not address.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if address.user_cert_file is not None:
        context.load_cert_chain(address.user_cert_file, address.user_key_file)
    context.set_alpn_protocols(["h2"])
    return context


def _channel_configuration(address: EventStoreAddress) -> Configuration:
    interval = address.keep_alive_interval
    # grpclib pings at most twice, and then every five minutes, where nothing else is said.
    return Configuration(
        _keepalive_time=interval,
        _keepalive_timeout=address.keep_alive_timeout,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=(interval or 10.0) / 2,
        http2_connection_window_size=_WINDOW,
        http2_stream_window_size=_WINDOW,
    )


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
