"""Frequent itemsets and rules, beside those of `mlxtend`."""

from collections.abc import Collection, Sequence
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import apriori, association_rules

from projections import apriori as ours
from projections.apriori import AssociationRule, FrequentItemset, find_frequent_itemsets, find_rules

BASKETS = [{1, 2, 3}, {1, 2}, {1, 3}, {1, 2, 3, 4}, {4}, ()]
RANDOM_BASKETS = st.lists(st.sets(st.integers(0, 9), max_size=7), min_size=1, max_size=40)


def table_of(transactions: Sequence[Collection[int]]) -> pd.DataFrame:
    """Transactions as mlxtend takes them: a column an item."""
    items = sorted(set(chain.from_iterable(transactions)))
    return pd.DataFrame([[item in one for item in items] for one in transactions], columns=items)


def test_itemsets_and_rules_of_a_few_baskets() -> None:
    found = find_frequent_itemsets(BASKETS, 2)
    assert found == [
        FrequentItemset((1,), 4),
        FrequentItemset((2,), 3),
        FrequentItemset((3,), 3),
        FrequentItemset((4,), 2),
        FrequentItemset((1, 2), 3),
        FrequentItemset((1, 3), 3),
        FrequentItemset((2, 3), 2),
        FrequentItemset((1, 2, 3), 2),
    ]
    rules = list(find_rules(found, len(BASKETS), 0.9))
    assert rules[0] == AssociationRule((2,), (1,), 3 / 6, 1.0, 1 * 6 / 4)
    assert {(rule.antecedent, rule.consequent) for rule in rules} == {
        ((2,), (1,)), ((3,), (1,)), ((2, 3), (1,)),
    }  # fmt: skip


def test_sizes_are_bounded_and_empty_inputs_have_nothing() -> None:
    assert max(len(one.items) for one in find_frequent_itemsets(BASKETS, 1, 2)) == 2
    assert find_frequent_itemsets(BASKETS, 1, 1) == find_frequent_itemsets(BASKETS, 1)[:4]
    assert find_frequent_itemsets([], 1) == find_frequent_itemsets([(), ()], 1) == []
    assert find_frequent_itemsets(BASKETS, 5) == []


def test_an_item_may_be_a_word_and_counts_once_a_transaction() -> None:
    tags = [["rain", "rain", "wind"], ["wind", "rain"]]
    assert find_frequent_itemsets(tags, 2)[-1] == FrequentItemset(("rain", "wind"), 2)


@pytest.mark.parametrize(
    "population",
    [
        "_population_by_table",
        pytest.param(
            "_population_by_instruction",
            marks=pytest.mark.skipif(not hasattr(np, "bitwise_count"), reason="NumPy 1 has none"),
        ),
    ],
)
def test_bits_are_counted_alike_with_either_numpy(
    population: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "_population", getattr(ours, population))
    assert len(find_frequent_itemsets(BASKETS, 2)) == 8


@pytest.mark.filterwarnings("ignore::RuntimeWarning:mlxtend")
@settings(max_examples=25, deadline=None)
@given(RANDOM_BASKETS, st.integers(1, 5))
def test_itemsets_and_rules_are_those_of_mlxtend(baskets: list[set[int]], least: int) -> None:
    found = find_frequent_itemsets(baskets, least)
    table = table_of(baskets)
    if table.empty or least > len(baskets):
        assert found == []
        return
    theirs = apriori(table, min_support=least / len(baskets) - 1e-9, use_colnames=True)
    assert {frozenset(one.items): one.occurrences for one in found} == {
        one.itemsets: round(one.support * len(baskets)) for one in theirs.itertuples()
    }
    rules = {
        (frozenset(rule.antecedent), frozenset(rule.consequent)): rule[2:]
        for rule in find_rules(found, len(baskets), 0.5)
    }
    if not any(len(one.items) > 1 for one in found):
        assert rules == {}
        return
    expected = association_rules(theirs, metric="confidence", min_threshold=0.5)
    assert rules.keys() == {(one.antecedents, one.consequents) for one in expected.itertuples()}
    for one in expected.itertuples():
        figures = (one.support, one.confidence, one.lift)
        assert rules[one.antecedents, one.consequents] == pytest.approx(figures)


@settings(max_examples=40)
@given(RANDOM_BASKETS, st.integers(1, 4))
def test_itemsets_are_those_that_counting_every_subset_finds(
    baskets: list[set[int]], least: int
) -> None:
    expected = {}
    for size in range(1, 8):
        for items in combinations(range(10), size):
            count = sum({*items} <= basket for basket in baskets)
            if count >= least:
                expected[items] = count
    assert dict(find_frequent_itemsets(baskets, least)) == expected
