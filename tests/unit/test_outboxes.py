"""What is known of authors answers for readers who share them, and is never more than is true."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from infra.views.memory import MemoryStore
from infra.views.outboxes import Newest, Outboxes
from projections.merge import Found
from projections.store import Changes
from projections.timeline import POSTED, RETWEETS, Posted, Retweet, Timeline

ANN, BEN, CARA, DAN, ELI = range(1, 6)
LIMIT = 4


class Counting(MemoryStore):
    """Says which accounts were asked for; something may happen before an answer is given."""

    def __init__(self) -> None:
        super().__init__(Timeline().tables)
        self.asked: list[int] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def scan(self, table: Any, prefix: Any = (), **how: Any) -> Any:
        found = await super().scan(table, prefix, **how)
        self.asked.append(prefix[0])
        await self.let_go.wait()
        return found


async def posted(*posts: tuple[int, int]) -> Counting:
    """A store of posts, each with its author."""
    store = Counting()
    rows: dict[Any, Any] = {(post,): Posted(post, author) for post, author in posts}
    await store.apply(Changes(puts={POSTED: rows}), 0, 1)
    return store


async def ask(outboxes: Outboxes, store: Counting, *authors: int) -> Newest:
    store.asked.clear()
    return await outboxes.newest(store, authors, (), LIMIT)


async def ask_while(
    happens: Callable[[], None], outboxes: Outboxes, store: Counting, *authors: int
) -> None:
    """Something happens between the reading of the tables and the answer."""
    store.let_go.clear()
    reading = asyncio.create_task(ask(outboxes, store, *authors))
    await asyncio.sleep(0.01)
    happens()
    store.let_go.set()
    await reading


async def test_whom_another_reader_follows_is_not_asked_for_again() -> None:
    others = ((post, post // 10 % 3 + 1) for post in range(1000, 1300, 10))
    store = await posted(*others, (1259, DAN), (1261, DAN))
    outboxes = Outboxes()
    first = await ask(outboxes, store, ANN, BEN, CARA)
    assert first == Newest([1260, 1270, 1280, 1290], whole=False)
    assert set(store.asked) == {ANN, BEN, CARA}
    assert await ask(outboxes, store, ANN, BEN, CARA) == first
    assert store.asked == []
    # Of somebody new, only what may belong to the page is read.
    more = await ask(outboxes, store, ANN, BEN, CARA, DAN)
    assert more.entries == [1261, 1270, 1280, 1290]
    assert set(store.asked) == {DAN}


async def test_what_is_told_is_there_and_makes_busy_authors_forget_the_oldest() -> None:
    store = await posted((101, ANN), (102, BEN), (103, ANN))
    outboxes = Outboxes(keep=2)
    assert await ask(outboxes, store, ANN, BEN) == Newest([101, 102, 103], whole=True)
    for post in (110, 105, 105):
        outboxes.came(Found(post, ANN, post))
    outboxes.came(Found(-104, ANN, 102))  # a retweet, which nobody asked for
    outboxes.came(Found(106, CARA, 106))
    assert await ask(outboxes, store, ANN, BEN) == Newest([102, 103, 105, 110], whole=False)
    outboxes.came(Found(111, ANN, 111))
    # Of Ann's posts 101 to 105 are forgotten, so Ben's 102 says nothing about what lies above it.
    assert await ask(outboxes, store, ANN, BEN) == Newest([110, 111], whole=False)
    assert store.asked == []


async def test_posts_and_retweets_of_an_account_are_known_apart() -> None:
    store = await posted((101, ANN), (102, BEN))
    retweet = Retweet(103, ANN, 102)
    await store.apply(Changes(puts={RETWEETS: {(103,): retweet}}), 1, 2)
    outboxes = Outboxes()
    assert await ask(outboxes, store, ANN) == Newest([101], whole=True)
    both = await outboxes.newest(store, (ANN,), (ANN,), LIMIT)
    assert both == Newest([101, -103], whole=True)


async def test_what_is_told_while_the_tables_are_read_is_known_afterwards() -> None:
    store = await posted((101, ANN), (102, BEN))
    outboxes = Outboxes()
    await ask_while(lambda: outboxes.came(Found(103, ANN, 103)), outboxes, store, ANN, BEN)
    assert await ask(outboxes, store, ANN, BEN) == Newest([101, 102, 103], whole=True)
    assert store.asked == []


async def test_nothing_is_known_of_what_was_read_while_all_was_forgotten() -> None:
    store = await posted((101, ANN), (102, BEN))
    outboxes = Outboxes()
    await ask_while(outboxes.forget, outboxes, store, ANN, BEN)
    await ask(outboxes, store, ANN, BEN)
    assert set(store.asked) == {ANN, BEN}


async def test_the_number_of_outboxes_is_bounded_and_the_youngest_stay() -> None:
    store = await posted(*((100 + author, author) for author in (ANN, BEN, CARA, DAN, ELI)))
    outboxes = Outboxes(most=4)

    async def asked_for(*authors: int) -> Collection[int]:
        await ask(outboxes, store, *authors)
        return set(store.asked)

    assert await asked_for(ANN, BEN) == {ANN, BEN}
    assert await asked_for(CARA, DAN) == {CARA, DAN}
    assert await asked_for(ANN) == set()
    assert await asked_for(ELI) == {ELI}
    assert await asked_for(ANN) == set()
    assert await asked_for(BEN) == {BEN}
    assert await asked_for(CARA, DAN, ELI) == {CARA, DAN, ELI}  # too many to be kept
