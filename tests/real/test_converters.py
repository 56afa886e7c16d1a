"""The converters alone: their lines are complete, in order and the same every time."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.text import MAX_TEXT_LENGTH, text_length
from tests.real import follow_graph, ldbc
from tests.real.dataset_counts import follow_counts, ldbc_counts
from tests.support.requirements import REPOSITORY, skip_or_fail

Line = dict[str, Any]


def folder(shared_data: Path, name: str) -> Path:
    if not (shared_data / name).is_dir():
        skip_or_fail(f"the data set {shared_data / name}")
    return shared_data / name


@pytest.fixture(scope="module")
def stream(shared_data: Path) -> Path:
    return folder(shared_data, "ldbc-update-stream")


@pytest.fixture(scope="module")
def graph(shared_data: Path) -> Path:
    return folder(shared_data, "follow-graph")


@pytest.fixture(scope="module")
def stream_lines(stream: Path) -> list[Line]:
    return list(ldbc.commands(stream))


@pytest.fixture(scope="module")
def graph_lines(graph: Path) -> list[Line]:
    return list(follow_graph.commands(graph))


def unresolved(lines: list[Line]) -> Iterator[str]:
    """What a line refers to and no line before it made; keys that were used before."""
    made: set[str] = set()
    for line in lines:
        if line["command"] == "register":
            assert line["as"] == f"@{line['data']['handle']}"
            made.add(line["as"])
        wanted = {line["as"], *(line["data"].get(field) for field in ("user", "post"))} - {None}
        yield from wanted - made
        if f"key:{line['key']}" in made:
            yield f"again {line['key']}"
        made.add(f"key:{line['key']}")


def test_every_row_of_the_stream_that_starling_knows_becomes_one_line(
    stream: Path, stream_lines: list[Line]
) -> None:
    counted = ldbc_counts(stream)
    rows = Counter(
        row.split("|", 3)[2]
        for path in stream.glob("*.csv")
        for row in path.read_text(encoding="utf-8").splitlines()
    )
    assert Counter(line["command"] for line in stream_lines) == {
        "register": counted.people + 1,  # and the author of what was there before
        "post": counted.posts + counted.unlisted_messages,
        "comment": rows["7"],
        "like": rows["2"] + rows["3"],
        "follow": rows["8"],
    }
    assert (counted.posts, counted.comments) == (rows["6"], rows["7"])


def test_the_stream_holds_what_its_description_says(stream: Path) -> None:
    counted = ldbc_counts(stream)
    assert counted[:6] == (994, 5296, 6899, 1514, 9752, 2001)
    assert counted.likes_of.total() == counted.likes
    assert counted.friends_of.total() == 2 * counted.friendships


def test_friends_follow_each_other(stream: Path, stream_lines: list[Line]) -> None:
    follows = {
        (line["as"], line["data"]["user"]) for line in stream_lines if line["command"] == "follow"
    }
    keys = {f"@{line['data'].get('handle')}": f"key:{line['key']}" for line in stream_lines}
    pairs = {(keys[follower], followee) for follower, followee in follows}
    assert pairs == {(followee, follower) for follower, followee in pairs}
    assert len(pairs) == 2 * ldbc_counts(stream).friendships


def test_nothing_in_the_stream_is_referred_to_before_it_is_made(stream_lines: list[Line]) -> None:
    assert list(unresolved(stream_lines)) == []


def test_the_lines_of_the_stream_are_in_the_order_of_their_times(stream_lines: list[Line]) -> None:
    times = [line["at"] for line in stream_lines]
    assert times == sorted(times)
    assert all(re.fullmatch(r"2011-01-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at) for at in times)
    assert times[-1] == "2011-01-31T10:59:26.138Z"


def test_every_text_and_name_is_one_that_starling_takes(stream_lines: list[Line]) -> None:
    texts = [line["data"]["text"] for line in stream_lines if "text" in line["data"]]
    assert all(1 <= text_length(text) <= MAX_TEXT_LENGTH for text in texts)
    names = [line["data"] for line in stream_lines if line["command"] == "register"]
    assert all(re.fullmatch(r"[a-z0-9_]{2,30}", data["handle"]) for data in names)
    assert len({data["email"] for data in names if "@" in data["email"]}) == len(names)


def test_every_account_and_edge_of_the_graph_becomes_one_line(
    graph: Path, graph_lines: list[Line]
) -> None:
    counted = follow_counts(graph)
    assert Counter(line["command"] for line in graph_lines) == {
        "register": counted.accounts,
        "follow": counted.follows,
    }
    assert (counted.accounts, counted.follows) == (13_688, 68_328)
    followed = Counter(line["data"].get("user") for line in graph_lines)
    assert all(
        followed[f"key:{follow_graph.account_key(account)}"] == followers
        for account, followers in counted.followers_of.items()
    )


def test_nothing_in_the_graph_is_referred_to_before_it_is_made(graph_lines: list[Line]) -> None:
    assert list(unresolved(graph_lines)) == []


def test_a_converter_writes_the_same_lines_in_every_process(
    stream: Path, stream_lines: list[Line]
) -> None:
    written = subprocess.run(
        [sys.executable, "-m", "tests.real", "ldbc", str(stream)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        check=True,
    ).stdout
    assert [json.loads(line) for line in written.splitlines()] == stream_lines
