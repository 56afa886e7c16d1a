"""When who does what: Poisson arrivals of a fixed mix.

Arrivals are independent of how fast the server answers (an open loop): a slow server meets the same
load, and is seen to be slow.
"""

import random
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple


class OperationKind(StrEnum):
    """What people do, by the name under which it is reported."""

    POST = "post"
    LIKE = "like"
    COMMENT = "comment"
    RETWEET = "retweet"
    FOLLOW = "follow"
    READ = "home timeline"


OPERATION_MIX: Final = {
    OperationKind.POST: 12,
    OperationKind.LIKE: 50,
    OperationKind.COMMENT: 5,
    OperationKind.RETWEET: 5,
    OperationKind.FOLLOW: 2,
    OperationKind.READ: 100,
}
"""Millions a day of the load that Starling is made for."""

OPERATIONS_PER_POST: Final = sum(OPERATION_MIX.values()) / OPERATION_MIX[OperationKind.POST]


class Arrival(NamedTuple):
    """Something that somebody does at `at`, in seconds from the beginning."""

    at: float
    operation: OperationKind


def generate_arrivals(posts_per_second: float, seconds: float, seed: int) -> Iterator[Arrival]:
    """Arrivals in order of time, until `seconds`."""
    rng = random.Random(f"arrivals-{seed}")
    rate = posts_per_second * OPERATIONS_PER_POST
    operations, bounds = list(OPERATION_MIX), list(accumulate(OPERATION_MIX.values()))
    at = rng.expovariate(rate)
    while at < seconds:
        yield Arrival(at, rng.choices(operations, cum_weights=bounds)[0])
        at += rng.expovariate(rate)
