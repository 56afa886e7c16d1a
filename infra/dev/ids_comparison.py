"""`starling ids compare`: three ways to make ids, while a server and a process are killed.

Each way has a folder of its own and some client processes that make ids as fast as they can, by the
same code as API processes do. After a third of the time the server is taken away, and one client is
killed with it; after another third the server is back. Taken away is

- for `snowflake` the file of the leases, locked by another process, as it were;
- for `tickets` the server of odd numbers, locked likewise;
- for `global` the id server, killed with SIGKILL and started again.
"""

import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from events.ids.id_blocks import (
    EVEN_TICKETS,
    ID_SERVER_BLOCKS,
    IDS_PER_BLOCK,
    ODD_TICKETS,
    BlockSeries,
)
from infra.dev.local_engine import EngineFailed
from infra.process.child import python_command
from infra.settings import Settings, WayToMakeIds
from infra.sqlite.id_blocks import SqliteBlocks

Rows = npt.NDArray[np.int64]
"""Of one client: id, when (Unix ns), how long it was waited for (ns)."""

POINTS: Final = 120
"""In which the time is divided for a plot."""
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class IdsResult:
    """What one way did."""

    way: WayToMakeIds
    taken_away: str
    ids: int
    ids_per_second: float
    p50_us: float
    p99_us: float
    unique: bool
    increasing: bool
    """Whether the ids of each process only grew."""
    behind_ms: int
    """By how much an id's time was at most behind that of one that another process, or the same,
    had before this one was asked for."""
    refused_seconds: float
    """How long the client that was worst off got no id."""
    reason: str
    """What it was told."""
    wasted: int
    """Numbers that were handed out and became no id."""
    rate: list[float]
    """Ids a second in each of `POINTS` parts of the time."""


class _Way:
    """One way to make ids, in a folder."""

    def __init__(self, way: WayToMakeIds, folder: Path, stack: ExitStack) -> None:
        self.way = way
        self.settings = Settings(data=folder, ids=way)
        self._stack = stack
        self._server: subprocess.Popen[str] | None = None
        self._port = 0
        if way == "global":
            self._start_server()
            address = f"http://127.0.0.1:{self._port}"
            self.settings = self.settings.model_copy(update={"id_server": address})

    def _start_server(self) -> None:
        program = ("-c", "from infra.cli.main import main; main()")
        command = python_command(
            *program, "ids", "serve", "--port", str(self._port), "--data", str(self.settings.data)
        )
        environment = self.settings.to_environment()
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self._stack.callback(_end, server)
        assert server.stderr is not None
        found = _ADDRESS.search(line := server.stderr.readline())
        if found is None:
            raise EngineFailed(f"the id server did not start: {line.strip()}")
        self._server, self._port = server, int(found[1])

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Without the server, for the length of the block."""
        if self._server is not None:
            _end(self._server)
            yield
            self._start_server()
            return
        with closing(sqlite3.connect(self._locked_file, timeout=20, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    @property
    def taken_away(self) -> str:
        """What an outage takes away."""
        return {
            "snowflake": "the leases",
            "tickets": "the odd ticket server",
            "global": "the id server",
        }[self.way]

    @property
    def _locked_file(self) -> Path:
        odd, _ = self.settings.ticket_files
        return odd if self.way == "tickets" else self.settings.leases_file

    def numbers_handed_out(self) -> int:
        """Of all blocks; 0 where there are none."""
        files: dict[str, list[tuple[Path, BlockSeries]]] = {
            "snowflake": [],
            "tickets": list(
                zip(self.settings.ticket_files, (ODD_TICKETS, EVEN_TICKETS), strict=True)
            ),
            "global": [(self.settings.id_server_file, ID_SERVER_BLOCKS)],
        }
        ledgers = [SqliteBlocks(path, series).read_ledger() for path, series in files[self.way]]
        return IDS_PER_BLOCK * sum(ledger.blocks_given for ledger in ledgers)


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def compare_ways(
    folder: Path, clients: int, seconds: float, say: Callable[[str], None]
) -> list[IdsResult]:
    """Try each way; `folder` is empty, `say` gets a line before each. Raises `EngineFailed`."""
    results = []
    for way in get_args(WayToMakeIds):
        say(f"{way}: {clients} processes make ids for {seconds:g} s")
        place = folder / way
        place.mkdir()
        with ExitStack() as stack:
            results.append(_try_way(_Way(way, place, stack), clients, seconds, stack))
    return results


def _try_way(way: _Way, count: int, seconds: float, stack: ExitStack) -> IdsResult:
    files = [way.settings.data / f"client-{number}" for number in range(count)]
    clients = [_start_client(way.settings, file, seconds, stack) for file in files]
    for client in clients:
        assert client.stdout is not None
        if client.stdout.readline() != "ready\n":
            raise EngineFailed(f"a client of {way.way} did not start: {client.communicate()[1]}")
    started_ns = time.time_ns()
    for client in clients:
        assert client.stdin is not None
        client.stdin.write("go\n")
        client.stdin.flush()
    time.sleep(seconds / 3)
    with way.outage():
        clients[-1].kill()
        time.sleep(seconds / 3)
    said = [client.communicate()[0] for client in clients]
    reason = next((text for text in said if text), "")
    return _summarise(way, [_read_rows(file) for file in files], started_ns, seconds, reason)


def _read_rows(file: Path) -> Rows:
    rows = np.fromfile(file, np.int64)
    return rows[: len(rows) // 3 * 3].reshape(-1, 3)


def _start_client(
    settings: Settings, out: Path, seconds: float, stack: ExitStack
) -> "subprocess.Popen[str]":
    command = python_command("-m", "infra.dev.ids_client", str(out), str(seconds))
    pipe = subprocess.PIPE
    client = subprocess.Popen(
        command, env=settings.to_environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    stack.callback(_end, client)
    return client


def _summarise(
    way: _Way, clients: Sequence[Rows], started_ns: int, seconds: float, reason: str
) -> IdsResult:
    made = [rows[rows[:, 0] > 0] for rows in clients]
    together = np.concatenate(made)
    ids, waits = together[:, 0], together[:, 2]
    parts, _ = np.histogram(together[:, 1], POINTS, (started_ns, started_ns + round(seconds * 1e9)))
    handed_out = way.numbers_handed_out()
    p50, p99 = np.percentile(waits, [50, 99]) / 1000
    return IdsResult(
        way=way.way,
        taken_away=way.taken_away,
        ids=len(ids),
        ids_per_second=len(ids) / seconds,
        p50_us=float(p50),
        p99_us=float(p99),
        unique=len(np.unique(ids)) == len(ids),
        increasing=all(bool(np.all(np.diff(rows[:, 0]) > 0)) for rows in made),
        behind_ms=_behind_ms(together),
        refused_seconds=max(float(rows[rows[:, 0] == 0, 2].sum()) / 1e9 for rows in clients),
        reason=reason,
        wasted=max(0, handed_out - len(ids)) if handed_out else 0,
        rate=[float(part) * POINTS / seconds for part in parts],
    )


def _behind_ms(rows: Rows) -> int:
    by_end = rows[np.argsort(rows[:, 1], kind="stable")]
    ms = by_end[:, 0] >> 22
    newest = np.maximum.accumulate(ms)
    before = np.searchsorted(by_end[:, 1], by_end[:, 1] - by_end[:, 2], side="left") - 1
    return max(0, int((newest[before] - ms)[before >= 0].max(initial=0)))


def save_plot(results: Sequence[IdsResult], seconds: float, path: Path) -> None:
    """Draw ids a second over time, a panel for each way, as a PNG. Raises `OSError`, and
    `ModuleNotFoundError` without matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * len(results)), layout="constrained")
    panels = figure.subplots(len(results), sharex=True, sharey=True, squeeze=False)[:, 0]
    times = (np.arange(POINTS) + 0.5) * seconds / POINTS
    for panel, result in zip(panels, results, strict=True):
        panel.axvspan(
            seconds / 3, seconds * 2 / 3, color="0.9", label=f"without {result.taken_away}"
        )
        panel.plot(times, np.array(result.rate) / 1e6, color="tab:blue")
        panel.set_title(
            f"{result.way}: {result.ids_per_second:,.0f} ids/s, refused for "
            f"{result.refused_seconds:.2f} s, {result.wasted:,} numbers wasted",
            loc="left",
            fontsize=10,
        )
        panel.set_ylabel("million ids/s")
        panel.set_ylim(bottom=0)
        panel.legend(loc="upper right", fontsize=8)
    panels[-1].set_xlabel("seconds")
    figure.savefig(path, format="png", dpi=110)
