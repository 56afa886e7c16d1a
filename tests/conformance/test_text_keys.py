"""The keys that texts are sealed under, wherever they lie."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from events.log import LOG_START, LogUnavailable
from infra.log_of_record import TextKeys
from infra.sqlite.text_keys import SqliteTextKeys
from tests.support.waiting import wait_until

LOG = "1" * 32

Open = Callable[[str], TextKeys]
"""Opens the same keys once more, as another process would, for a log of this identity."""


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def open_keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "sqlite":
        yield lambda log: SqliteTextKeys(tmp_path / "text-keys.sqlite", log)
        return
    from infra.mongodb.text_keys import MongoTextKeys
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        yield lambda log: MongoTextKeys(opened.blocking, log)


@pytest.fixture
def keys(open_keys: Open) -> Iterator[TextKeys]:
    opened = open_keys(LOG)
    yield opened
    opened.close()


@pytest.fixture
def other(open_keys: Open, keys: TextKeys) -> Iterator[TextKeys]:
    """As another process has them open."""
    opened = open_keys(LOG)
    yield opened
    opened.close()


def test_an_account_keeps_the_key_that_it_got_first(keys: TextKeys, other: TextKeys) -> None:
    assert keys.find_account_key(7) is None
    keys.make_account_keys((7, 8))
    made = keys.find_account_key(7)
    assert made
    other.make_account_keys((7, 9))
    assert other.find_account_key(7) == made != other.find_account_key(8)


def test_no_two_processes_get_the_same_number(keys: TextKeys, other: TextKeys) -> None:
    reserved = keys.reserve_text_keys() + other.reserve_text_keys() + keys.reserve_text_keys()
    assert len({number for number, _ in reserved}) == len({key for _, key in reserved})
    assert len({number for number, _ in reserved}) == len(reserved)
    assert [other.find_text_key(number) for number, _ in reserved] == [key for _, key in reserved]
    assert other.find_text_key(10**12) is None


async def test_another_process_stops_using_what_was_destroyed(
    keys: TextKeys, other: TextKeys
) -> None:
    keys.make_account_keys((7, 8))
    (number, key), (kept, kept_key) = keys.reserve_text_keys()[:2]
    assert other.find_account_key(7)
    assert other.find_text_key(number) == key
    keys.erase((7, 44), (number, 10**12), 11)
    assert (keys.find_account_key(7), keys.find_text_key(number)) == (b"", b"")
    await wait_until(lambda: other.find_account_key(7) == b"")
    await wait_until(lambda: other.find_text_key(number) == b"")
    assert other.find_text_key(kept) == kept_key
    assert keys.erased_through() == other.erased_through() == 11
    other.make_account_keys((7, 44))
    assert keys.find_account_key(7) == keys.find_account_key(44) == b""


def test_two_processes_destroy_keys_of_one_block(keys: TextKeys, other: TextKeys) -> None:
    reserved = keys.reserve_text_keys()
    keys.erase((), (reserved[0][0],), 1)
    other.erase((), (reserved[1][0],), 2)
    keys.erase((), (), 3)
    assert [other.find_text_key(number) for number, _ in reserved[:3]] == [b"", b"", reserved[2][1]]
    assert keys.erased_through() == 3


def test_keys_are_of_one_log_and_have_an_identity(
    keys: TextKeys, other: TextKeys, open_keys: Open
) -> None:
    assert keys.identity == other.identity
    assert len(keys.identity) == 32
    with pytest.raises(LogUnavailable, match="keys of another log"):
        open_keys("2" * 32)


@pytest.mark.engines
async def test_keys_are_read_of_the_node_that_has_every_erasure(
    request: pytest.FixtureRequest,
) -> None:
    from pymongo import ReadPreference

    from infra.mongodb.text_keys import MongoTextKeys
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        stale = opened.blocking.with_options(read_preference=ReadPreference.SECONDARY)
        with closing(MongoTextKeys(stale, LOG)) as keys:
            keys.make_account_keys((7,))
            assert keys.find_account_key(7)


@pytest.mark.engines
async def test_deletions_that_an_older_program_passed_are_looked_for_again(
    request: pytest.FixtureRequest,
) -> None:
    from infra.mongodb.text_keys import MongoTextKeys
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        old = {"_id": "state", "log": LOG, "store": "2" * 32, "blocks": 0, "position": 500}
        opened.blocking["text_keys"].insert_one({**old, "erasures": 3})
        with closing(MongoTextKeys(opened.blocking, LOG)) as keys:
            assert keys.erased_through() == LOG_START
            keys.erase((), (), 7)
            assert keys.erased_through() == 7
