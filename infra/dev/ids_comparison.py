"""`starling ids compare`: ways to make ids, while a server and a process are killed.

Each way has a folder of its own and some client processes that make ids as fast as they can, by the
same code as API processes do. After a third of the time its server is taken away
(`infra.dev.compared_ways`), and one client is killed with it; after another third the server is
back.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from infra.dev.compared_ways import WAYS, ComparedWay, end_process, open_way
from infra.dev.local_engine import EngineFailed
from infra.process.child import python_command
from infra.settings import Settings

Rows = npt.NDArray[np.int64]
"""Of one client: id, when (Unix ns), how long it was waited for (ns)."""

POINTS: Final = 120
"""In which the time is divided for a plot."""


@dataclass(frozen=True, slots=True)
class IdsResult:
    """What one way did."""

    way: str
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


def compare_ways(
    folder: Path,
    clients: int,
    seconds: float,
    say: Callable[[str], None],
    names: Sequence[str] = WAYS,
) -> list[IdsResult]:
    """Try each way; `folder` is empty, `say` gets a line before each. Raises `EngineFailed`, and
    `EngineMissing` where a way needs what the machine lacks."""
    results = []
    for number, name in enumerate(names):
        say(f"{name}: {clients} processes make ids for {seconds:g} s")
        with ExitStack() as stack:
            way = open_way(name, folder / str(number), stack)
            way.settings.make_data_folder()
            results.append(_try_way(name, way, clients, seconds, stack))
    return results


def _try_way(
    name: str, way: ComparedWay, count: int, seconds: float, stack: ExitStack
) -> IdsResult:
    files = [way.settings.data / f"client-{number}" for number in range(count)]
    clients = [_start_client(way.settings, file, seconds, stack) for file in files]
    for client in clients:
        assert client.stdout is not None
        if client.stdout.readline() != "ready\n":
            raise EngineFailed(f"a client of {name} did not start: {client.communicate()[1]}")
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
    return _summarise(name, way, [_read_rows(file) for file in files], started_ns, seconds, reason)


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
    stack.callback(end_process, client)
    return client


def _summarise(
    name: str,
    way: ComparedWay,
    clients: Sequence[Rows],
    started_ns: int,
    seconds: float,
    reason: str,
) -> IdsResult:
    made = [rows[rows[:, 0] > 0] for rows in clients]
    together = np.concatenate(made)
    ids, waits = together[:, 0], together[:, 2]
    parts, _ = np.histogram(together[:, 1], POINTS, (started_ns, started_ns + round(seconds * 1e9)))
    handed_out = way.numbers_handed_out()
    p50, p99 = np.percentile(waits, [50, 99]) / 1000
    return IdsResult(
        way=name,
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
