"""What a search finds, wherever the words are kept."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from api.search.search_index import (
    FollowedLog,
    FoundPost,
    PostFindable,
    PostGone,
    PostReworded,
    SearchChange,
    SearchIndex,
    TagUses,
    UserFindable,
    UserGone,
    UserRenamed,
)
from api.search.search_words import query_words, words_of
from infra.sqlite.search_index import SqliteSearchIndex
from projections.pages import PageRequest

ADA, BOB = 7, 8
FIRST = PageRequest()

Open = Callable[[], SearchIndex]
"""Opens the same index once more, as another process would."""


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "sqlite":
        yield lambda: SqliteSearchIndex(tmp_path / "search.sqlite")
        return
    from infra.mongodb.search_index import MongoSearchIndex
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        yield lambda: MongoSearchIndex(opened.blocking)


@pytest.fixture
async def index(open_index: Open) -> AsyncIterator[SearchIndex]:
    opened = open_index()
    await opened.restart("a log", 1)
    yield opened
    opened.close()


def user(id: int, handle: str, name: str = "") -> UserFindable:
    return UserFindable(id, handle, words_of(name))


def post(id: int, text: str, author: int = ADA, *tags: str) -> PostFindable:
    return PostFindable(id, author, words_of(text), frozenset(tags))


async def follow(index: SearchIndex, *changes: SearchChange) -> None:
    position = (await index.read_followed()).position
    assert await index.follow(changes, position, position + 10)


async def found(index: SearchIndex, query: str, request: PageRequest = FIRST) -> list[int]:
    return [post for post, _ in await index.find_posts(query_words(query), request)]


async def found_users(index: SearchIndex, query: str, request: PageRequest = FIRST) -> list[int]:
    return list(await index.find_users(query_words(query), request))


async def test_posts_are_found_by_all_their_words_newest_first(index: SearchIndex) -> None:
    await follow(
        index, user(ADA, "ada"), post(11, "Das Café am Meer"), post(12, "CAFE, CAFE und Kuchen"),
        post(13, "kaffee"),
    )  # fmt: skip
    assert await index.find_posts(("cafe",), FIRST) == [FoundPost(12, ADA), FoundPost(11, ADA)]
    assert await found(index, "café meer") == [11]
    assert await found(index, "cafe tee") == []
    assert await found(index, "caf") == []


async def test_words_of_every_script_are_found(index: SearchIndex) -> None:
    texts = ("東京タワーに行く", "ПРИВЕТ, мир", "हिन्दी में", "snake_case 42", "naïve ﬁne")
    await follow(
        index, user(ADA, "ada"), *(post(id, text) for id, text in enumerate(texts, 1)),
    )  # fmt: skip
    for id, query in enumerate(("京タ 行", "привет", "हिन्दी", "snake_case", "NAIVE fine"), 1):
        assert await found(index, query) == [id]
    assert await found(index, "京東") == []


async def test_posts_come_in_pages(index: SearchIndex) -> None:
    await follow(index, user(ADA, "ada"), *(post(id, "word") for id in range(1, 10)))
    assert await found(index, "word", PageRequest(3)) == [9, 8, 7]
    assert await found(index, "word", PageRequest(3, max_id=7)) == [6, 5, 4]
    assert await found(index, "word", PageRequest(3, since_id=2)) == [9, 8, 7]
    assert await found(index, "word", PageRequest(3, min_id=2)) == [5, 4, 3]


async def test_what_was_edited_is_found_by_its_new_words_alone(index: SearchIndex) -> None:
    await follow(index, user(ADA, "ada"), post(11, "old words", ADA, "one", "two"))
    await follow(index, PostReworded(11, words_of("new words"), frozenset({"two", "three"})))
    assert await found(index, "old") == []
    assert await index.find_posts(("new",), FIRST) == [FoundPost(11, ADA)]
    assert await index.find_hashtags("o", 9) == []
    assert await index.find_hashtags("t", 9) == [TagUses("three", 1), TagUses("two", 1)]


async def test_what_was_deleted_is_not_found(index: SearchIndex) -> None:
    await follow(
        index, user(ADA, "ada"), user(BOB, "bob"), post(11, "word", ADA, "tag"),
        post(12, "word", BOB, "tag"), post(13, "word", BOB),
    )  # fmt: skip
    await follow(index, PostGone(13), PostGone(99))
    assert await found(index, "word") == [12, 11]
    await follow(index, UserGone(BOB))
    assert await found(index, "word") == [11]
    assert await found_users(index, "bob") == []
    assert await index.complete_handle("b", 9) == []
    assert await index.find_hashtags("tag", 9) == [TagUses("tag", 1)]
    await follow(index, post(14, "late", BOB), PostReworded(12, words_of("x"), frozenset()))
    assert await found(index, "late") == await found(index, "x") == []


async def test_accounts_are_found_by_beginnings_of_handle_and_name(index: SearchIndex) -> None:
    await follow(
        index, user(1, "ada_l", "Ada Lovelace"), user(2, "babbage", "Charles B"),
        user(3, "adam", "Love"),
    )  # fmt: skip
    assert await found_users(index, "ADA") == [3, 1]
    assert await found_users(index, "love ad") == [3, 1]
    assert await found_users(index, "lovel") == [1]
    assert await found_users(index, "b") == [2]
    await follow(index, UserRenamed(1, words_of("Countess")))
    assert await found_users(index, "lovelace") == []
    assert await found_users(index, "count") == await found_users(index, "ada_l") == [1]
    assert await found_users(index, "ada", PageRequest(max_id=3)) == [1]


async def test_handles_are_completed_in_their_order(index: SearchIndex) -> None:
    await follow(index, user(1, "adb"), user(2, "ada"), user(3, "adab"), user(4, "bad"))
    assert await index.complete_handle("ad", 9) == [2, 3, 1]
    assert await index.complete_handle("ad", 2) == [2, 3]


async def test_hashtags_are_found_the_most_used_first(index: SearchIndex) -> None:
    await follow(
        index, user(ADA, "ada"), post(1, "", ADA, "tee", "tea"), post(2, "", ADA, "tee", "über"),
        post(3, "", ADA, "team"),
    )  # fmt: skip
    assert await index.find_hashtags("te", 2) == [TagUses("tee", 2), TagUses("tea", 1)]
    assert await index.find_hashtags("ü", 9) == [TagUses("über", 1)]


async def test_a_batch_is_applied_once_and_in_order(open_index: Open) -> None:
    one, other = open_index(), open_index()
    assert (await one.read_followed()).position == 0
    await one.restart("a log", 1)
    batch: list[SearchChange] = [user(ADA, "ada"), post(11, "word")]
    assert await one.follow(batch, 0, 10)
    assert not await other.follow(batch, 0, 10)
    assert not await other.follow([PostGone(11)], 5, 20)
    assert await other.read_followed() == FollowedLog("a log", 1, 10)
    assert await found(other, "word") == [11]
    await other.restart("another log", 1)
    assert await one.read_followed() == FollowedLog("another log", 1, 0)
    assert await found(one, "word") == []
    assert await one.follow(batch, 0, 30)
    one.close()
    other.close()


async def test_deleted_words_leave_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "search.sqlite"
    index = SqliteSearchIndex(path)
    await index.restart("a log", 1)
    await follow(index, user(ADA, "ada"), post(11, "unforgettable"), post(12, "kept"))
    await follow(index, PostGone(11))
    await index.scrub()
    assert await found(index, "kept") == [12]
    files = b"".join(path.with_name(path.name + end).read_bytes() for end in ("", "-wal"))
    index.close()
    assert b"kept" in files
    assert b"unforgettable" not in files
    assert b"nforget" not in files
