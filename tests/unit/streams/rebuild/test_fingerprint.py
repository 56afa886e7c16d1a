"""The fingerprint of a projection changes with what it projects, and with nothing else."""

import importlib
import linecache
import logging
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from projections.posts import PostsProjection
from streams.rebuild.fingerprint import (
    ViewOrigin,
    _definitions,
    check_code,
    projection_fingerprint,
    warn_of_changed_code,
)

WORDS = '''
"""Words."""
def fold(word):
    """Fold a word."""
    return word.lower()  # as everywhere
def unused():
    return 1
'''

PROJECTION = '''
"""Counts words."""
from typing import NamedTuple
from counted.words import fold as folded
from projections.projection import BatchRows
from projections.tables import CounterTable

class WordCount(NamedTuple):
    """One word."""
    word: str
    times: int

COUNTS = CounterTable("counts", WordCount, key_size=1)
STEP = 1

class WordsProjection:
    """Counts."""
    name, version, event_types, tables = "words", 1, (), (COUNTS,)
    def rows_to_read(self, recorded):
        return ()
    def project(self, recorded, view: BatchRows):
        """Count."""
        _count(view, recorded)

def _count(view, recorded):
    view.add(COUNTS, (folded(recorded.stream),), STEP)

async def most_used(store):
    return await store.scan(COUNTS)
'''

Fingerprint = Callable[[str, str], str]


@pytest.fixture
def fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fingerprint]:
    """The fingerprint of the projection in two modules of a package."""
    numbers = count()

    def of_sources(projection: str, words: str) -> str:
        package = tmp_path / str(next(numbers)) / "counted"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "words.py").write_text(words)
        (package / "projection.py").write_text(projection)
        monkeypatch.syspath_prepend(package.parent)
        for name in [name for name in sys.modules if name.partition(".")[0] == "counted"]:
            del sys.modules[name]
        _definitions.cache_clear()
        linecache.checkcache()
        module = importlib.import_module("counted.projection")
        return projection_fingerprint(module.WordsProjection())

    yield of_sources
    for name in [name for name in sys.modules if name.partition(".")[0] == "counted"]:
        del sys.modules[name]
    _definitions.cache_clear()


def with_change(changed: str, projection: str, words: str) -> tuple[str, str]:
    old, new = changed.split(" -> ")
    assert old in projection + words
    return projection.replace(old, new), words.replace(old, new)


@pytest.mark.parametrize(
    "changed",
    [
        "  # as everywhere -> ",
        "Fold a word. -> Another docstring.",
        '"""Counts.""" -> """What it does."""',
        "return 1 -> return 2",
        "store.scan(COUNTS) -> store.scan(COUNTS, limit=3)",
        "word.lower() -> (  word.lower(  ) )",
    ],
)
def test_comments_docstrings_layout_and_queries_do_not_count(
    fingerprint: Fingerprint, changed: str
) -> None:
    after = with_change(changed, PROJECTION, WORDS)
    assert fingerprint(*after) == fingerprint(PROJECTION, WORDS)


@pytest.mark.parametrize(
    "changed",
    [
        "word.lower() -> word.upper()",
        "STEP = 1 -> STEP = 2",
        "recorded.stream -> recorded.type",
        "key_size=1 -> key_size=2",
        "times: int -> times: int; more: int",
    ],
)
def test_code_that_is_used_and_tables_do_count(fingerprint: Fingerprint, changed: str) -> None:
    after = with_change(changed, PROJECTION, WORDS)
    assert fingerprint(*after) != fingerprint(PROJECTION, WORDS)


def test_only_other_code_of_the_same_version_is_a_finding(caplog: pytest.LogCaptureFixture) -> None:
    posts = PostsProjection()
    mine = projection_fingerprint(posts)
    assert len(mine) == 16
    states = {
        "same": ViewOrigin(posts.version, mine),
        "changed": ViewOrigin(posts.version, "0" * 16),
        "unknown": ViewOrigin(posts.version, ""),
        "rebuild due": ViewOrigin(posts.version - 1, "0" * 16),
        "absent": None,
    }
    with caplog.at_level(logging.WARNING):
        for state, origin in states.items():
            assert check_code(posts, origin).state == state
            if origin is not None:
                warn_of_changed_code(posts, origin)
    [warning] = caplog.messages
    assert warning.startswith("the code or the tables of posts changed since its view was built")
    assert "'starling projections rebuild posts'" in warning
