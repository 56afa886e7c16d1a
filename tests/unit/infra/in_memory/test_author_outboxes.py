"""Outboxes answer for all readers who share their authors, and never hold more than the tables."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from infra.in_memory.author_outboxes import AuthorOutboxes, NewestEntries
from infra.in_memory.read_store import MemoryReadStore
from projections.store import Changes
from projections.timeline import (
    POST_ENTRIES,
    RETWEET_ENTRIES,
    PostEntry,
    RetweetEntry,
    SignedEntry,
    TimelineProjection,
)

ANN, BEN, CARA, DAN, ELI = range(1, 6)
LIMIT = 4


class Counting(MemoryReadStore):
    """Lists the accounts that were read; a read can be held up until `let_go` is set."""

    def __init__(self) -> None:
        super().__init__(TimelineProjection().tables)
        self.accounts_read: list[int] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def scan(self, table: Any, prefix: Any = (), **how: Any) -> Any:
        found = await super().scan(table, prefix, **how)
        self.accounts_read.append(prefix[0])
        await self.let_go.wait()
        return found


async def posted(*posts: tuple[int, int]) -> Counting:
    """A store of posts, each with its author."""
    store = Counting()
    rows: dict[Any, Any] = {(post,): PostEntry(post, author) for post, author in posts}
    await store.apply(Changes(puts={POST_ENTRIES: rows}), 0, 1)
    return store


async def ask(outboxes: AuthorOutboxes, store: Counting, *authors: int) -> NewestEntries:
    store.accounts_read.clear()
    return await outboxes.newest_entries(store, authors, (), LIMIT)


async def ask_while(
    happens: Callable[[], None], outboxes: AuthorOutboxes, store: Counting, *authors: int
) -> None:
    """Something happens between the reading of the tables and the answer."""
    store.let_go.clear()
    reading = asyncio.create_task(ask(outboxes, store, *authors))
    await asyncio.sleep(0.01)
    happens()
    store.let_go.set()
    await reading


async def test_authors_that_another_reader_follows_are_not_queried_again() -> None:
    others = ((post, post // 10 % 3 + 1) for post in range(1000, 1300, 10))
    store = await posted(*others, (1259, DAN), (1261, DAN))
    outboxes = AuthorOutboxes()
    first = await ask(outboxes, store, ANN, BEN, CARA)
    assert first == NewestEntries([1260, 1270, 1280, 1290], complete=False)
    assert set(store.accounts_read) == {ANN, BEN, CARA}
    assert await ask(outboxes, store, ANN, BEN, CARA) == first
    assert store.accounts_read == []
    # Of one more author, only what may belong to the page is read.
    more = await ask(outboxes, store, ANN, BEN, CARA, DAN)
    assert more.entries == [1261, 1270, 1280, 1290]
    assert set(store.accounts_read) == {DAN}


async def test_new_entries_are_added_and_push_out_the_oldest_of_busy_authors() -> None:
    store = await posted((101, ANN), (102, BEN), (103, ANN))
    outboxes = AuthorOutboxes(kept_entries=2)
    assert await ask(outboxes, store, ANN, BEN) == NewestEntries([101, 102, 103], complete=True)
    for post in (110, 105, 105):
        outboxes.add_entry(SignedEntry(post, ANN, post))
    outboxes.add_entry(SignedEntry(-104, ANN, 102))  # a retweet: no outbox of those is open
    outboxes.add_entry(SignedEntry(106, CARA, 106))
    assert await ask(outboxes, store, ANN, BEN) == NewestEntries(
        [102, 103, 105, 110], complete=False
    )
    outboxes.add_entry(SignedEntry(111, ANN, 111))
    # Of Ann's posts 101 to 105 are dropped, so Ben's 102 says nothing about what lies above it.
    assert await ask(outboxes, store, ANN, BEN) == NewestEntries([110, 111], complete=False)
    assert store.accounts_read == []


async def test_posts_and_retweets_of_an_account_are_known_apart() -> None:
    store = await posted((101, ANN), (102, BEN))
    retweet = RetweetEntry(103, ANN, 102)
    await store.apply(Changes(puts={RETWEET_ENTRIES: {(103,): retweet}}), 1, 2)
    outboxes = AuthorOutboxes()
    assert await ask(outboxes, store, ANN) == NewestEntries([101], complete=True)
    both = await outboxes.newest_entries(store, (ANN,), (ANN,), LIMIT)
    assert both == NewestEntries([101, -103], complete=True)


async def test_entries_added_while_the_tables_are_read_are_known_afterwards() -> None:
    store = await posted((101, ANN), (102, BEN))
    outboxes = AuthorOutboxes()
    await ask_while(
        lambda: outboxes.add_entry(SignedEntry(103, ANN, 103)), outboxes, store, ANN, BEN
    )
    assert await ask(outboxes, store, ANN, BEN) == NewestEntries([101, 102, 103], complete=True)
    assert store.accounts_read == []


async def test_what_was_read_during_a_clear_is_discarded() -> None:
    store = await posted((101, ANN), (102, BEN))
    outboxes = AuthorOutboxes()
    await ask_while(outboxes.discard_all, outboxes, store, ANN, BEN)
    await ask(outboxes, store, ANN, BEN)
    assert set(store.accounts_read) == {ANN, BEN}


async def test_the_number_of_outboxes_is_bounded_and_the_youngest_stay() -> None:
    store = await posted(*((100 + author, author) for author in (ANN, BEN, CARA, DAN, ELI)))
    outboxes = AuthorOutboxes(max_outboxes=4)

    async def accounts_read_for(*authors: int) -> Collection[int]:
        await ask(outboxes, store, *authors)
        return set(store.accounts_read)

    assert await accounts_read_for(ANN, BEN) == {ANN, BEN}
    assert await accounts_read_for(CARA, DAN) == {CARA, DAN}
    assert await accounts_read_for(ANN) == set()
    assert await accounts_read_for(ELI) == {ELI}
    assert await accounts_read_for(ANN) == set()
    assert await accounts_read_for(BEN) == {BEN}
    assert await accounts_read_for(CARA, DAN, ELI) == {CARA, DAN, ELI}  # too many to be kept
