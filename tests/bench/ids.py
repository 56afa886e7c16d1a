"""Ids: one at a time under the lock, and batches against what the layout has room for; and out of
blocks of two ticket servers."""

import tempfile
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from events.ids.generator import SnowflakeGenerator
from events.ids.id_blocks import EVEN_TICKETS, ODD_TICKETS
from events.ids.snowflake import IDS_PER_MS
from infra.ids.block_stock import BlockStock, ids_of_blocks
from infra.ids.ticket_servers import TicketServers
from infra.process.clock import clock_ms
from infra.sqlite.id_blocks import SqliteBlocks
from tests.bench.result import Result

SINGLES = 300_000
BATCH = 200 * IDS_PER_MS  # 0.2 s of the layout's room
WANTED_SINGLES = 1_000_000.0  # a second
ROOM = IDS_PER_MS * 1000.0  # ids that one machine has a second


def measure(runs: int) -> list[Result]:
    """Ids a second, against a million a second and against 4,096 a ms.

    A batch that begins and ends on the edge of a ms is better than the layout by one ms in 200.
    """
    singles, batches, tickets = [], [], []
    for _ in range(runs):
        ids = SnowflakeGenerator(0, clock_ms, time.sleep)
        singles.append(_singles_a_second(ids.next_id))
        batches.append(_batch_a_second(ids))
        tickets.append(_tickets_a_second())
    return [
        Result.from_runs(
            "ids, one at a time under the lock",
            ("Snowflake.next", singles),
            ("a million a second", [WANTED_SINGLES] * runs),
            target=1.0,
            unit="ids/s",
        ),
        Result.from_runs(
            "ids, in batches",
            (f"Snowflake.take({BATCH:,})", batches),
            ("the layout: 4,096 a ms", [ROOM] * runs),
            target=0.95,
            unit="ids/s",
        ),
        Result.from_runs(
            "ids by tickets, out of cached ranges",
            ("two ticket servers in SQLite, 4,096 at once", tickets),
            ("Snowflake.next", singles),
            target=0.5,
            unit="ids/s",
        ),
    ]


def _tickets_a_second() -> float:
    """Each block is durable in a file before it is used."""
    with tempfile.TemporaryDirectory() as folder:
        odd = SqliteBlocks(Path(folder) / "odd.sqlite", ODD_TICKETS)
        even = SqliteBlocks(Path(folder) / "even.sqlite", EVEN_TICKETS)
        servers = TicketServers(odd, even, time.monotonic)
        stock = BlockStock(servers, "bench", clock_ms, time.monotonic)
        with ids_of_blocks(stock, clock_ms) as ids:
            return _singles_a_second(ids.next_id)


def _singles_a_second(one: Callable[[], int]) -> float:
    started = time.perf_counter()
    for _ in repeat(None, SINGLES):
        one()
    return SINGLES / (time.perf_counter() - started)


def _batch_a_second(ids: SnowflakeGenerator) -> float:
    started = time.perf_counter()
    made = ids.next_ids(BATCH)
    return len(made) / (time.perf_counter() - started)  # before freeing them, which takes 4 %
