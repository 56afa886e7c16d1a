"""The simulated world and its load, without a server."""

import random
from array import array
from collections import Counter
from itertools import pairwise

import pytest

from infra.simulation.http_client import is_local_url
from infra.simulation.measurements import LoadMeasurements, latency_percentiles, percentile
from infra.simulation.workload import (
    OPERATION_MIX,
    OPERATIONS_PER_POST,
    OperationKind,
    generate_arrivals,
)
from infra.simulation.world import World, random_post_text


def test_the_same_seed_gives_the_same_people_and_follows() -> None:
    one, other = World(60, seed=4), World(60, seed=4)
    assert (one.people, one.follows) == (other.people, other.follows)


def test_another_seed_gives_other_people_and_follows() -> None:
    one, other = World(60, seed=4), World(60, seed=5)
    assert not set(one.people) & set(other.people)
    assert one.follows != other.follows


def test_a_larger_world_of_a_seed_begins_with_the_people_of_the_smaller_one() -> None:
    assert World(90, seed=4).people[:60] == World(60, seed=4).people


def test_people_follow_neither_themselves_nor_anyone_twice() -> None:
    follows = World(200, seed=2).follows
    assert all(follower != followee for follower, followee in follows)
    assert len(set(follows)) == len(follows)


def test_followers_are_heavy_tailed() -> None:
    world = World(1000, seed=3)
    counts = sorted((len(followers) for followers in world.followers), reverse=True)
    assert sum(counts) == len(world.follows)
    assert sum(counts[:100]) > sum(counts) / 2
    assert counts[0] > 20 * counts[len(counts) // 2]


def test_in_a_world_of_two_each_can_follow_the_other() -> None:
    assert set(World(2, seed=1).follows) == {(0, 1), (1, 0)}


def test_what_people_write_fits_a_post() -> None:
    rng = random.Random(1)
    texts = [random_post_text(rng) for _ in range(500)]
    assert all(0 < len(words) <= 280 for words in texts)
    assert any("#" in words for words in texts)
    assert not all("#" in words for words in texts)


def test_arrivals_keep_rate_and_mix() -> None:
    due = list(generate_arrivals(posts_per_second=50, seconds=60, seed=1))
    assert [arrival.at for arrival in due] == sorted(arrival.at for arrival in due)
    assert 0 < due[0].at < due[-1].at < 60
    assert len(due) == pytest.approx(50 * OPERATIONS_PER_POST * 60, rel=0.03)
    counts = Counter(arrival.operation for arrival in due)
    for operation, share in OPERATION_MIX.items():
        assert counts[operation] / len(due) == pytest.approx(
            share / sum(OPERATION_MIX.values()), rel=0.1
        )


def test_gaps_between_arrivals_are_exponential() -> None:
    due = [arrival.at for arrival in generate_arrivals(posts_per_second=50, seconds=60, seed=1)]
    gaps = [later - earlier for earlier, later in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.05)  # regular arrivals would have no spread


def test_percentiles_are_values_that_were_measured() -> None:
    values = array("d", range(1, 101))
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7
    assert latency_percentiles(array("d")) is None
    assert latency_percentiles(array("d", [0.002, 0.001])) == (1.0, 2.0, 2.0, 2.0)


def test_a_row_counts_what_was_done_and_what_failed() -> None:
    measures = LoadMeasurements()
    measures.record_success(OperationKind.POST, 0.010)
    measures.record_success(OperationKind.POST, 0.030)
    measures.record_failure(OperationKind.POST, "503")
    measures.record_failure(OperationKind.LIKE, "503")
    row, like, *_ = measures.summarize_operations(seconds=4.0)
    assert (row.done, row.failed, row.per_second) == (2, 1, 0.5)
    assert row.latency is not None
    assert row.latency.max == pytest.approx(30)
    assert (like.done, like.failed, like.latency) == (0, 1, None)


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.1:8000", "https://127.9.9.9", "http://[::1]:8"]
)
def test_addresses_of_this_machine_are_local(url: str) -> None:
    assert is_local_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://localhost@example.org",
        "http://10.0.0.1",
    ],
)
def test_addresses_elsewhere_are_not_local(url: str) -> None:
    assert not is_local_url(url)
