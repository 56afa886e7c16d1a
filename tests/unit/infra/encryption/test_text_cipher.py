"""Texts are sealed on their way into the log, and opened with both keys alone."""

import asyncio
import logging
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import Event, PostCreated, PostEdited, PostLiked, UserRegistered
from events.sealed_text import parse_sealed
from infra.encryption.text_cipher import TextCipher
from infra.sqlite.text_keys import KEYS_PER_BLOCK, SqliteTextKeys

IDENTITY = "1" * 32
ADA, BOB = 7, 8


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[SqliteTextKeys]:
    with closing(SqliteTextKeys(tmp_path / "text-keys.sqlite", IDENTITY)) as opened:
        yield opened


async def seal(cipher: TextCipher, event: Event) -> Event:
    append = AppendRequest((StreamAppend("s", 0, (NewEvent(1, event),)),), ADA, 1, 1)
    (write,) = (await cipher.seal(append)).writes
    return write.events[0].event


async def seal_text(cipher: TextCipher, text: str, author: int = ADA) -> str:
    sealed = await seal(cipher, PostCreated(1, author, text))
    assert isinstance(sealed, PostCreated)
    return sealed.text


async def test_each_text_of_an_event_is_sealed_alone_and_opened_again(keys: SqliteTextKeys) -> None:
    cipher = TextCipher(keys)
    user = await seal(cipher, UserRegistered(ADA, "ada", "Ada L.", "I wrote that. 🦆"))
    assert isinstance(user, UserRegistered)
    assert user.handle == "ada"
    assert "Ada" not in user.name
    assert cipher.open_text(user.name) == "Ada L."
    assert cipher.open_text(user.bio) == "I wrote that. 🦆"
    edited = await seal(cipher, PostEdited(1, ADA, "new", ("tag",)))
    assert isinstance(edited, PostEdited)
    assert edited.hashtags == ("tag",)
    assert cipher.open_text(edited.text) == "new"
    numbers = [parse_sealed(text) for text in (user.name, user.bio, edited.text)]
    assert len({found.number for found in numbers if found}) == 3


async def test_what_holds_no_text_needs_no_key(keys: SqliteTextKeys) -> None:
    cipher = TextCipher(keys)
    liked = PostLiked(1, 2, 3)
    assert await seal(cipher, liked) is liked
    assert await seal_text(cipher, "") == ""
    assert cipher.open_text("as written") == "as written"
    assert cipher.open_text("sealed.words") == "sealed.words"


async def test_one_text_under_two_seals_shows_nothing_in_common(keys: SqliteTextKeys) -> None:
    cipher = TextCipher(keys)
    one, other = [parse_sealed(await seal_text(cipher, "the same")) for _ in range(2)]
    assert one is not None
    assert other is not None
    assert one.ciphertext != other.ciphertext


async def test_a_destroyed_key_erases_its_text_and_an_account_all_of_its_texts(
    keys: SqliteTextKeys,
) -> None:
    cipher = TextCipher(keys)
    first, second, others = (
        await seal_text(cipher, "one"), await seal_text(cipher, "two"),
        await seal_text(cipher, "three", BOB),
    )  # fmt: skip
    found = parse_sealed(first)
    assert found is not None
    keys.erase((), (found.number,), 5)
    assert [cipher.open_text(t) for t in (first, second, others)] == ["", "two", "three"]
    keys.erase((ADA,), (), 6)
    assert [cipher.open_text(t) for t in (first, second, others)] == ["", "", "three"]


async def test_a_text_that_arrives_after_the_deletion_of_its_account_is_not_kept(
    keys: SqliteTextKeys,
) -> None:
    cipher = TextCipher(keys)
    await seal_text(cipher, "before")
    keys.erase((ADA, BOB), (), 1)
    assert await seal_text(cipher, "late") == ""
    assert await seal_text(cipher, "of an account that never wrote", BOB) == ""


async def test_no_key_seals_two_texts_whatever_ends_when(
    keys: SqliteTextKeys, tmp_path: Path
) -> None:
    numbers = set[int]()
    texts = 0
    with closing(SqliteTextKeys(tmp_path / "text-keys.sqlite", IDENTITY)) as opened:
        # Each is a process that ends with most of its keys unused; two are there at once.
        for store in (keys, opened, keys):
            cipher = TextCipher(store)
            for sealed in [await seal_text(cipher, f"text {n}") for n in range(20)]:
                texts += 1
                found = parse_sealed(sealed)
                assert found is not None
                numbers.add(found.number)
                assert cipher.open_text(sealed).startswith("text ")
    assert len(numbers) == texts == 60


class CountingKeys:
    """The keys of a file, with a count of what was written."""

    def __init__(self, keys: SqliteTextKeys) -> None:
        self.find_account_key = keys.find_account_key
        self.find_text_key = keys.find_text_key
        self._keys = keys
        self.account_writes = self.blocks = 0

    def make_account_keys(self, accounts: Collection[int]) -> None:
        self.account_writes += 1
        self._keys.make_account_keys(accounts)

    def reserve_text_keys(self) -> list[tuple[int, bytes]]:
        self.blocks += 1
        return self._keys.reserve_text_keys()


async def test_many_registrations_at_once_share_their_writes(keys: SqliteTextKeys) -> None:
    counted = CountingKeys(keys)
    cipher = TextCipher(counted)
    users = [UserRegistered(user, f"u{user}", f"name {user}") for user in range(1, 501)]
    sealed = await asyncio.gather(*(seal(cipher, user) for user in users))
    names = [cipher.open_text(user.name) for user in sealed if isinstance(user, UserRegistered)]
    assert names == [user.name for user in users]
    assert counted.account_writes <= 3
    assert counted.blocks == 1
    for number in range(KEYS_PER_BLOCK):
        await seal_text(cipher, f"{number}", 1)
    assert counted.blocks == 2


async def test_a_key_that_is_missing_is_told_to_the_operator(
    keys: SqliteTextKeys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = await seal_text(TextCipher(keys), "text")
    with closing(SqliteTextKeys(tmp_path / "older.sqlite", IDENTITY)) as older:
        cipher = TextCipher(older)
        for accounts in ((), (ADA,)):
            older.make_account_keys(accounts)
            caplog.clear()
            with caplog.at_level(logging.ERROR):
                assert cipher.open_text(sealed) == ""
            assert "older than the log" in caplog.text
