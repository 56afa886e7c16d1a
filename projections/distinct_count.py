"""How many different accounts there are among very many rows: exact, or estimated in little memory.

Up to a million ids are kept as they are. Beyond, a HyperLogLog sketch of `datasketches` takes their
place: 64 KiB, and wrong by less than 0.82 % in 19 of 20 cases. The same ids give the same estimate
in whatever order and however often they come, so a rebuilt view gives the same answers, and the
sketches of days, merged, give that of their week.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

MOST_EXACT: Final = 1_000_000
"""Ids that are counted one by one."""

SKETCH_BITS: Final = 16
"""The logarithm of a sketch's buckets."""

DEVIATIONS: Final = 2
"""Of the error that is stated: 95 in 100 estimates are within."""


class Estimate(NamedTuple):
    """A count; `error` is the share by which it may be wrong, None where it is exact."""

    number: int
    error: float | None = None


class DistinctCount:
    """Different ids. Without the package `datasketches` it stays exact, in the memory of a set."""

    def __init__(self, most_exact: int = MOST_EXACT) -> None:
        self._most_exact = most_exact
        self._ids: set[int] = set()
        self._sketch: Any = None

    def add(self, ids: Iterable[int]) -> None:
        """Count these, too."""
        if self._sketch is None:
            self._ids.update(ids)
            if len(self._ids) > self._most_exact:
                self._begin_sketch()
        else:
            self._add_to_sketch(ids)

    def merge(self, other: "DistinctCount") -> None:
        """Count what the other counts, too."""
        if other._sketch is None:
            self.add(other._ids)
            return
        if self._sketch is None:
            self._begin_sketch()
        if self._sketch is not None:
            self._sketch.update(other._sketch.get_result())

    def estimate(self) -> Estimate:
        """How many there are by now."""
        if self._sketch is None:
            return Estimate(len(self._ids))
        # A sketch that saw each id itself estimates by the order in which they came; one that was
        # merged with another, were it itself, by its buckets alone.
        self._sketch.update(self._sketch.get_result())
        error = self._sketch.get_rel_err(False, True, SKETCH_BITS, DEVIATIONS)
        return Estimate(round(self._sketch.get_estimate()), round(error, 4))

    def _begin_sketch(self) -> None:
        try:
            from datasketches import hll_union
        except ModuleNotFoundError:
            return
        self._sketch = hll_union(SKETCH_BITS)
        self._add_to_sketch(self._ids)
        self._ids = set()

    def _add_to_sketch(self, ids: Iterable[int]) -> None:
        for id in ids:
            self._sketch.update(id)


def sum_estimates(*parts: Estimate) -> Estimate:
    """The count of accounts of which each is in one part alone."""
    errors = [part.error for part in parts if part.error is not None]
    return Estimate(sum(part.number for part in parts), max(errors, default=None))
