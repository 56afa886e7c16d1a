"""Which things come together: frequent itemsets and association rules, by Apriori.

After Agrawal and Srikant (1994), level by level: a set can be frequent only if all its subsets are,
so each level is made from the one before, and counted. Transactions are bits: one row for each
frequent item, one column for each transaction that has several of them, and a count is the
population of the conjunction of rows.

Memory has a bound that follows from the input: of N memberships in T transactions at most N/c items
occur c times, so the bits take at most N/c x T/8 bytes, and the table of frequent pairs (N/c)^2.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from itertools import chain, combinations
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item", bound=Hashable)

_WORDS_AT_ONCE: Final = 1 << 16
"""64-bit words of the joins that are counted at once: as many as a core has in its cache."""


class FrequentItemset(NamedTuple, Generic[Item]):
    """Items, ascending, and in how many transactions all of them are."""

    items: tuple[Item, ...]
    occurrences: int


class _Level(NamedTuple):
    """Sets of as many items each, by their numbers, and their counts."""

    sets: NDArray[np.int64]
    counts: NDArray[np.int64]


class AssociationRule(NamedTuple, Generic[Item]):
    """Transactions with the antecedent have the consequent, too.

    `support` is the share of all transactions that have both, `confidence` that of those with the
    antecedent, `lift` the confidence over the share of all that have the consequent.
    """

    antecedent: tuple[Item, ...]
    consequent: tuple[Item, ...]
    support: float
    confidence: float
    lift: float


def find_frequent_itemsets(
    transactions: Sequence[Collection[Item]], min_count: int, max_size: int | None = None
) -> list[FrequentItemset[Item]]:
    """All sets of at most `max_size` items that are in `min_count` (1 or more) transactions.

    Items must be comparable; one that is twice in a transaction counts once. The smaller sets come
    first, equal sizes in the order of their items.
    """
    items: list[Any] = sorted(set(chain.from_iterable(transactions)))
    codes, rows = _encode(transactions, items)
    counts = np.bincount(codes, minlength=len(items))
    frequent = np.flatnonzero(counts >= max(min_count, 1))
    names = [items[code] for code in frequent.tolist()]
    found = [
        FrequentItemset((name,), int(count))
        for name, count in zip(names, counts[frequent].tolist(), strict=True)
    ]
    if max_size == 1 or len(names) < 2:
        return found
    levels = _Levels(_pack_bits(codes, rows, frequent), min_count)
    for sets, occurrences in levels.larger_sets(max_size):
        columns = [[names[code] for code in column] for column in sets.T.tolist()]
        found += map(FrequentItemset, zip(*columns, strict=True), occurrences.tolist())
    return found


def find_rules(
    itemsets: Iterable[FrequentItemset[Item]], transactions: int, min_confidence: float
) -> Iterator[AssociationRule[Item]]:
    """The rules of itemsets, which must hold all subsets of each, of so many transactions."""
    counts = dict(itemsets)
    for items, count in counts.items():
        for size in range(1, len(items)):
            for antecedent in combinations(items, size):
                confidence = count / counts[antecedent]
                if confidence >= min_confidence:
                    consequent = tuple(item for item in items if item not in antecedent)
                    lift = confidence * transactions / counts[consequent]
                    support = count / transactions
                    yield AssociationRule(antecedent, consequent, support, confidence, lift)


def _encode(
    transactions: Sequence[Collection[Item]], items: Sequence[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The memberships, each once: numbers of items, and of their transactions."""
    number = {item: place for place, item in enumerate(items)}
    sizes = np.fromiter(map(len, transactions), np.int64, len(transactions))
    flat = map(number.__getitem__, chain.from_iterable(transactions))
    codes = np.fromiter(flat, np.int64, int(sizes.sum()))
    rows = np.repeat(np.arange(len(transactions)), sizes)
    width = max(len(items), 1)
    once = np.unique(rows * width + codes)
    return once % width, once // width


def _pack_bits(
    codes: NDArray[np.int64], rows: NDArray[np.int64], frequent: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """For each frequent item a row of bits, one for each transaction that has several of them."""
    kept = np.isin(codes, frequent)
    codes, rows = np.searchsorted(frequent, codes[kept]), rows[kept]
    several = np.flatnonzero(np.bincount(rows) > 1) if len(rows) else rows
    kept = np.isin(rows, several)
    codes, rows = codes[kept], np.searchsorted(several, rows[kept])
    bits = np.zeros((len(frequent), -(-len(several) // 64)), np.uint64)
    np.bitwise_or.at(bits, (codes, rows // 64), np.uint64(1) << (rows % 64).astype(np.uint64))
    return bits


class _Levels:
    """Finds the frequent sets of each size from those of the size before.

    A level is an array with a set in each row, its items ascending, the rows in their order.
    """

    def __init__(self, bits: NDArray[np.uint64], min_count: int) -> None:
        self._bits = bits
        self._min_count = max(min_count, 1)
        self._pairs = np.zeros((len(bits), len(bits)), np.bool_)
        """Which pairs are frequent, the lesser number first."""

    def larger_sets(self, max_size: int | None) -> Iterator[_Level]:
        """The frequent sets of two items, of three, and so on, with their counts."""
        level = self._count_pairs()
        while len(level.sets):
            yield level
            if level.sets.shape[1] == max_size:
                return
            level = self._next_level(level.sets)

    def _count_pairs(self) -> _Level:
        sets, found = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
        for code in range(len(self._bits) - 1):
            counts = _population(self._bits[code] & self._bits[code + 1 :])
            others = np.flatnonzero(counts >= self._min_count)
            self._pairs[code, others + code + 1] = True
            sets.append(np.column_stack((np.full(len(others), code), others + code + 1)))
            found.append(counts[others])
        return _Level(np.concatenate(sets), np.concatenate(found))

    def _next_level(self, sets: NDArray[np.int64]) -> _Level:
        """Sets that differ in their last item alone are joined, two and two, and counted.

        A join is counted if its last two items are a frequent pair: to look its other subsets up
        takes longer than to count it.
        """
        count, size = sets.shape
        starts = np.flatnonzero(np.r_[True, (sets[1:, :-1] != sets[:-1, :-1]).any(axis=1)])
        ends = np.repeat(np.r_[starts[1:], count], np.diff(np.r_[starts, count]))
        partners = ends - np.arange(count) - 1
        joined = np.cumsum(partners)
        most = max(_WORDS_AT_ONCE // self._bits.shape[1], 1)
        found = [_Level(np.empty((0, size + 1), np.int64), np.empty(0, np.int64))]
        first = 0
        while first < count:
            before = joined[first] - partners[first]
            last = max(int(np.searchsorted(joined, before + most, "right")), first + 1)
            found.append(self._join(sets, first, last, partners))
            first = last
        return _Level(*map(np.concatenate, zip(*found, strict=True)))

    def _join(
        self, sets: NDArray[np.int64], first: int, last: int, partners: NDArray[np.int64]
    ) -> _Level:
        """The frequent joins of the sets in these rows, each with those that follow it."""
        many = partners[first:last]
        left = np.repeat(np.arange(first, last), many)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(many) - many, many)
        items = sets[right, -1]
        possible = self._pairs[sets[left, -1], items]
        left, items = left[possible], items[possible]
        bits = np.bitwise_and.reduce(self._bits[sets[first:last]], axis=1)
        counts = _population(bits[left - first] & self._bits[items])
        frequent = counts >= self._min_count
        return _Level(np.column_stack((sets[left[frequent]], items[frequent])), counts[frequent])


_POPULATION_OF_16: Final = np.array([bin(n).count("1") for n in range(1 << 16)], np.uint8)


def _population_by_table(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = _POPULATION_OF_16[bits.view(np.uint16)].sum(axis=-1, dtype=np.int64)
    return found


def _population_by_instruction(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
    return found


_population: Final[Callable[[NDArray[np.uint64]], NDArray[np.int64]]] = (
    _population_by_instruction if hasattr(np, "bitwise_count") else _population_by_table
)
"""How many bits of each row are set. NumPy 1 has no instruction for it."""
