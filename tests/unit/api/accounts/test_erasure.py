"""Deletions in the log are carried out outside of it, from a checkpoint."""

from collections.abc import Collection, Iterator
from contextlib import closing

import pytest

from api.accounts.account_store import AccountRecord
from api.accounts.erasure import Erasure
from events.log import LOG_START, AppendRequest, NewEvent, StreamAppend
from events.schema import (
    Event,
    FilterChanged,
    FilterDeleted,
    FilterKeyword,
    ListChanged,
    ListDeleted,
    ListMemberAdded,
    PostCreated,
    PostDeleted,
    PostEdited,
    PrivateNoteChanged,
    UserDeleted,
)
from events.sealed_text import SealedText
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.accounts import SqliteAccounts
from tests.support.waiting import wait_until

ADA, BOB = 7, 8


class RecordedKeys:
    """Keys that only note what is destroyed."""

    def __init__(self) -> None:
        self.position = LOG_START
        self.accounts: list[int] = []
        self.numbers: list[int] = []

    def erased_through(self) -> int:
        return self.position

    def erase(self, accounts: Collection[int], numbers: Collection[int], through: int) -> None:
        self.accounts += sorted(accounts)
        self.numbers += sorted(numbers)
        self.position = through


@pytest.fixture
def accounts() -> Iterator[SqliteAccounts]:
    with closing(SqliteAccounts(":memory:")) as opened:
        yield opened


async def append(log: MemoryLog, stream: str, *events: Event) -> None:
    version = len(log.read_stream(stream))
    ids = range(log.head() + 1, log.head() + 1 + len(events))
    new = tuple(NewEvent(id, event) for id, event in zip(ids, events, strict=True))
    await log.append(AppendRequest((StreamAppend(stream, version, new),), ADA, ids[0], ids[0]))


def sealed(number: int) -> str:
    return SealedText(ADA, number, bytes(20)).render()


async def test_a_deleted_post_loses_the_keys_of_all_its_versions(accounts: SqliteAccounts) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    erasure = Erasure(log, accounts, keys)
    await append(log, "post-1", PostCreated(1, ADA, sealed(10)), PostEdited(1, ADA, sealed(11)))
    await append(log, "post-2", PostCreated(2, ADA, sealed(12)))
    await erasure.catch_up()
    assert keys.numbers == []
    await append(log, "post-1", PostDeleted(1, ADA))
    await erasure.catch_up()
    assert (keys.numbers, keys.accounts, keys.position) == ([10, 11], [], log.head())
    await erasure.catch_up()
    assert keys.numbers == [10, 11]


async def test_a_deleted_account_loses_its_key_and_what_it_signed_in_with(
    accounts: SqliteAccounts,
) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    for user in (ADA, BOB):
        await accounts.put(AccountRecord(user, f"{user}@example.org", None, 0))
    await append(log, "user-7", UserDeleted(ADA, "ada"))
    await append(log, "user-9", UserDeleted(9, "without an account"))
    await Erasure(log, accounts, keys).catch_up()
    assert keys.accounts == [ADA, 9]
    assert await accounts.get(ADA) is None
    assert await accounts.get(BOB) is not None


async def test_what_a_killed_process_left_is_done_by_the_next(accounts: SqliteAccounts) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    await append(log, "post-1", PostCreated(1, ADA, sealed(10)), PostDeleted(1, ADA))
    keys.erase = lambda *arguments: pytest.fail("killed")  # type: ignore[method-assign]
    with pytest.raises(pytest.fail.Exception):
        await Erasure(log, accounts, keys).catch_up()
    del keys.erase
    await Erasure(log, accounts, keys).catch_up()
    assert keys.numbers == [10]


async def test_an_older_copy_of_the_log_is_looked_through_again(accounts: SqliteAccounts) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    keys.position = 100
    await append(log, "post-1", PostCreated(1, ADA, sealed(10)), PostDeleted(1, ADA))
    await Erasure(log, accounts, keys).catch_up()
    assert (keys.numbers, keys.position) == ([10], 2)


async def test_a_list_loses_its_former_titles_when_it_is_renamed_and_the_last_when_it_is_deleted(
    accounts: SqliteAccounts,
) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    erasure = Erasure(log, accounts, keys)
    await append(log, "list-1", ListChanged(1, ADA, sealed(10)), ListMemberAdded(1, ADA, BOB))
    await append(log, "list-2", ListChanged(2, ADA, sealed(20)))
    await erasure.catch_up()
    assert keys.numbers == []
    await append(log, "list-1", ListChanged(1, ADA, sealed(11)), ListChanged(1, ADA, sealed(12)))
    await erasure.catch_up()
    assert keys.numbers == [10, 11]
    await append(log, "list-1", ListDeleted(1, ADA))
    await erasure.catch_up()
    assert sorted({*keys.numbers}) == [10, 11, 12]


async def test_a_list_that_was_made_and_deleted_meanwhile_keeps_no_title(
    accounts: SqliteAccounts,
) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    await append(log, "list-1", ListChanged(1, ADA, sealed(10)), ListDeleted(1, ADA))
    await Erasure(log, accounts, keys).catch_up()
    assert keys.numbers == [10]


async def test_a_note_goes_when_another_one_or_none_takes_its_place(
    accounts: SqliteAccounts,
) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    erasure = Erasure(log, accounts, keys)
    await append(log, "note-7-8", PrivateNoteChanged(ADA, BOB, sealed(10)))
    await erasure.catch_up()
    assert keys.numbers == []
    await append(log, "note-7-8", PrivateNoteChanged(ADA, BOB, sealed(11)))
    await append(log, "note-7-8", PrivateNoteChanged(ADA, BOB, ""))
    await erasure.catch_up()
    assert sorted(keys.numbers) == [10, 11]


def said(number: int, title: int, *keywords: int) -> FilterChanged:
    """A filter with a title and keywords under the keys of these numbers."""
    words = tuple(FilterKeyword(key, sealed(key)) for key in keywords)
    return FilterChanged(number, ADA, sealed(title), ("home",), keywords=words)


async def test_a_filter_keeps_what_it_says_now_and_loses_all_when_it_is_deleted(
    accounts: SqliteAccounts,
) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    erasure = Erasure(log, accounts, keys)
    await append(log, "filters-7", said(1, 10, 11, 12), said(2, 20, 21))
    await erasure.catch_up()
    assert keys.numbers == []
    await append(log, "filters-7", said(1, 13, 14))
    await erasure.catch_up()
    assert keys.numbers == [10, 11, 12]
    await append(log, "filters-7", FilterDeleted(1, ADA))
    await erasure.catch_up()
    assert sorted({*keys.numbers}) == [10, 11, 12, 13, 14]


async def test_a_log_that_is_far_ahead_does_not_keep_the_start_waiting(
    accounts: SqliteAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, keys = MemoryLog(), RecordedKeys()
    await append(log, "post-1", PostCreated(1, ADA, sealed(10)), PostDeleted(1, ADA))
    async with Erasure(log, accounts, keys).running():
        assert keys.numbers == [10]
    monkeypatch.setattr("api.accounts.erasure.FEW_EVENTS", 1)
    keys = RecordedKeys()
    async with Erasure(log, accounts, keys).running():
        assert keys.numbers == []
        await wait_until(lambda: keys.numbers == [10])
