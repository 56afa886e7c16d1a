"""The connections of one API process, and the bounds on how many there are and how long they wait.

Each API process counts its own: a server with several of them takes as many times the connections.
A process that is full closes the connection that has waited longest for its client, so idle ones
never keep others out; only if every connection is at work is a new one refused.
"""

import os
import resource
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple, Protocol

CLOSE_SECONDS: Final = 30.0
"""How long a response may lie unread before its connection is cut."""

BODY_BYTES_A_SECOND: Final = 8 << 10
"""How fast a body must come, beyond its first seconds."""

_BACKLOG: Final = 2048
_SMALLEST_BACKLOG: Final = 8
_SPARE_FILES: Final = 256
"""What a process may open beside its connections and what it has open at its start: views that
are switched, snapshots of the past, connections to engines."""


class ConnectionLimits(NamedTuple):
    """Bounds on connections; times are in seconds.

    `body_seconds` is for a body that does not come at all; each 8 KiB that do come give it one
    second more. Addresses of `trusted_proxies` (addresses or networks) speak for many clients, so
    `per_address` is not for them.
    """

    connections: int = 4000
    per_address: int = 2000
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 20.0
    trusted_proxies: tuple[str, ...] = ()


class FileBudget(NamedTuple):
    """What the open files that the system allows are used for."""

    connections: int
    backlog: int
    """Connections that wait to be accepted, which happens to all of them at once."""


def divide_open_files(connections: int) -> FileBudget:
    """How many connections this process can have, at most so many, by its limit on open files.

    Raises the soft limit as far as that needs and the hard one allows. Call it when everything that
    stays open is open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/dev/fd"))
    wanted = used + _SPARE_FILES + connections + _BACKLOG
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FileBudget(connections, _BACKLOG)
    left = max(0, soft - used)
    left -= min(_SPARE_FILES, left // 3)
    backlog = max(_SMALLEST_BACKLOG, min(_BACKLOG, left // 3))
    return FileBudget(max(1, min(connections, left - backlog)), backlog)


class ClientConnection(Protocol):
    """What `OpenConnections` asks of a connection. Times are the event loop's, in seconds."""

    address: str
    """As `counted_address`."""
    waiting_since: float
    """Since when it waits for what its client should do next."""
    unsent_bytes: int
    unsent_since: float

    @property
    def patience(self) -> float | None:
        """How long its client may take for what it waits for; None while the process is at work."""
        ...

    @property
    def can_make_room(self) -> bool:
        """Whether it may be closed for another: it has no request that is complete or arriving."""
        ...

    def count_unsent_bytes(self) -> int:
        """Bytes of responses that its client has not taken yet."""
        ...

    def close_quietly(self) -> None:
        """Close it: there was no request."""
        ...

    def time_out(self) -> None:
        """Close it, with a response where the client can still get one."""
        ...

    def cut(self) -> None:
        """Close it at once; what is unsent is lost."""
        ...


class OpenConnections:
    """The connections of this process."""

    def __init__(self, limits: ConnectionLimits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.clock = clock
        self.refused = 0
        """Connections that were turned away or closed for others, since the start."""
        self._by_address: dict[str, set[ClientConnection]] = {}
        self._count = 0
        self._trusted = [ip_network(proxy) for proxy in limits.trusted_proxies]

    def __len__(self) -> int:
        return self._count

    def admit(self, connection: ClientConnection, host: str) -> bool:
        """Take a new connection in, for which another one may be closed. False where all are at
        work."""
        same = self._by_address.setdefault(connection.address, set())
        if len(same) >= self.limits.per_address and not self._is_trusted(host):
            admitted = self._make_room(same)
        elif self._count >= self.limits.connections:
            admitted = self._make_room(self._all())
        else:
            admitted = True
        if admitted:
            # Looked up again: the set is dropped with its last connection.
            self._by_address.setdefault(connection.address, set()).add(connection)
            self._count += 1
        else:
            self.refused += 1
        return admitted

    def discard(self, connection: ClientConnection) -> None:
        """Forget a connection that is closed, if it was taken in."""
        same = self._by_address.get(connection.address)
        if same is None:
            return
        if connection in same:
            same.remove(connection)
            self._count -= 1
        if not same:
            del self._by_address[connection.address]

    def _make_room(self, among: Iterable[ClientConnection]) -> bool:
        idle = [one for one in among if one.can_make_room]
        if not idle:
            return False
        oldest = min(idle, key=lambda one: one.waiting_since)
        self.discard(oldest)  # now: its place is given away before the system closes it
        oldest.close_quietly()
        self.refused += 1
        return True

    def _all(self) -> Iterable[ClientConnection]:
        return (one for same in self._by_address.values() for one in same)

    def _is_trusted(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def close_overdue(connections: Collection[ClientConnection], now: float) -> None:
    """Close connections whose clients take too long, with a request or with its response."""
    for connection in list(connections):
        unsent = connection.count_unsent_bytes()
        if unsent != connection.unsent_bytes:
            connection.unsent_bytes, connection.unsent_since = unsent, now
        elif unsent and now - connection.unsent_since > CLOSE_SECONDS:
            connection.cut()
            continue
        patience = connection.patience
        if patience is not None and now - connection.waiting_since > patience:
            connection.time_out()
