"""Ids: one at a time under the lock, and batches against what the layout has room for."""

import time
from itertools import repeat

from events.ids.generator import SnowflakeGenerator
from events.ids.snowflake import IDS_PER_MS
from tests.bench.result import Result

SINGLES = 300_000
BATCH = 200 * IDS_PER_MS  # 0.2 s of the layout's room
WANTED_SINGLES = 1_000_000.0  # a second
ROOM = IDS_PER_MS * 1000.0  # ids that one machine has a second


def measure(runs: int) -> list[Result]:
    """Ids a second, against a million a second and against 4,096 a ms.

    A batch that begins and ends on the edge of a ms is better than the layout by one ms in 200.
    """
    singles, batches = [], []
    for _ in range(runs):
        ids = SnowflakeGenerator(0, lambda: time.time_ns() // 1_000_000, time.sleep)
        singles.append(_singles_a_second(ids))
        batches.append(_batch_a_second(ids))
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
    ]


def _singles_a_second(ids: SnowflakeGenerator) -> float:
    one = ids.next_id
    started = time.perf_counter()
    for _ in repeat(None, SINGLES):
        one()
    return SINGLES / (time.perf_counter() - started)


def _batch_a_second(ids: SnowflakeGenerator) -> float:
    started = time.perf_counter()
    made = ids.next_ids(BATCH)
    return len(made) / (time.perf_counter() - started)  # before freeing them, which takes 4 %
