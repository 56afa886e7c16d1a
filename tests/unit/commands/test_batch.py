"""Many commands at once: order, shared commits, keys."""

import asyncio

import pytest

from commands import batch
from commands.block import Block
from commands.errors import NotAllowed, NotFound
from commands.handle import Later, Outcome, Request
from commands.post import CreatePost
from commands.user import Register
from events.log import Append, Appended
from infra.logs.memory import MemoryLog
from tests.unit.commands.logs import handler, happened
from tests.unit.commands.requests import codes, keyed, liking, people, posting, register


async def test_each_command_sees_what_the_ones_before_it_did() -> None:
    log = MemoryLog()
    came = await handler(log).handle_many(
        [
            register("anna"),
            posting("p", "key:anna"),
            liking("l1", "@anna", "key:p"),
            liking("l2", "@Anna", "key:p"),
            register("anna2"),
            Request(Register("anna", "Other"), 0),
        ]
    )
    assert codes(came) == ["ok", "ok", "ok", "ok", "ok", "handle-taken"]
    assert [one.changed for one in came if isinstance(one, Outcome)] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert happened(log).count("post-liked") == 1


async def test_a_command_made_needless_by_one_before_it_shows_at_that_ones_position() -> None:
    came = await handler(MemoryLog()).handle_many(
        [register("anna"), posting("p", "@anna"), *[liking(k, "@anna", "key:p") for k in "ab"]]
    )
    first, second = came[2:]
    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert not second.changed
    assert second.position >= first.position


async def test_a_refused_command_stops_none_after_it() -> None:
    log = MemoryLog()
    do = handler(log)
    (anna,) = await people(do, "anna")
    came = await do.handle_many(
        [
            Request(CreatePost(""), anna),
            Request(CreatePost("x"), 4711),
            liking("l", "@anna", "key:nothing"),
            Request(CreatePost("fine"), anna),
        ]
    )
    assert codes(came) == ["text-empty", "account-unknown", "post-not-found", "ok"]


async def test_no_commands_are_no_work() -> None:
    assert await handler(MemoryLog()).handle_many([]) == []


class CountingLog(MemoryLog):
    """Lets appends wait for one another and counts how many waited at most."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.most = 0

    async def append(self, append: Append) -> Appended:
        """As `MemoryLog`, a moment later."""
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(0)
        self.waiting -= 1
        return await super().append(append)


async def test_commands_of_a_window_wait_for_their_commits_together() -> None:
    log = CountingLog()
    do = handler(log)
    (anna,) = await people(do, "anna")
    await do.handle_many([Request(CreatePost(f"{n}"), anna) for n in range(batch.WINDOW * 2)])
    assert log.most == batch.WINDOW


async def test_the_log_keeps_the_order_of_commands_that_have_to_do_with_one_another() -> None:
    log = CountingLog()
    do = handler(log)
    anna, ben = await people(do, "anna", "ben")
    await do.handle_many(
        [
            keyed("p", CreatePost("hi"), anna),
            liking("l", "@ben", "key:p"),
            # Rests on nothing open, but the like looked for it:
            Request(Block(ben), anna),
        ]
    )
    assert happened(log)[-3:] == ["post-created", "post-liked", "user-blocked"]


@pytest.mark.parametrize("window", [1, 2, 3, 256])
async def test_a_key_used_twice_in_a_batch_happens_once(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "WINDOW", window)
    log = MemoryLog()
    came = await handler(log).handle_many(
        [
            register("anna"),
            posting("p", "@anna"),
            posting("p", "@anna"),
            posting("p", "@anna", "another text"),
            register("anna"),
        ]
    )
    assert codes(came) == ["ok", "ok", "ok", "key-reused", "ok"]
    anna, first, second, _, again = came
    assert isinstance(first, Outcome)
    assert second == first._replace(changed=False, repeated=True, writes=())
    assert isinstance(anna, Outcome)
    assert again == anna._replace(changed=False, repeated=True, writes=())
    assert happened(log) == ["handle-claimed", "user-registered", "post-created"]


async def test_a_batch_done_again_changes_nothing() -> None:
    log = MemoryLog()
    requests: list[Request | Later] = [
        register("anna"),
        posting("p", "key:anna"),
        liking("l", "key:anna", "key:p"),
    ]
    first = await handler(log).handle_many(requests)
    again = await handler(log, first=1000).handle_many(requests)
    assert again == [
        one._replace(changed=False, repeated=True, writes=())
        for one in first
        if isinstance(one, Outcome)
    ]


async def test_a_block_in_a_batch_holds_for_what_comes_after_it() -> None:
    do = handler(MemoryLog())
    anna, ben = await people(do, "anna", "ben")
    _, _, like = await do.handle_many(
        [
            keyed("p", CreatePost("hi"), anna),
            Request(Block(ben), anna),
            liking("l", "@ben", "key:p"),
        ]
    )
    assert isinstance(like, NotAllowed)
    assert not isinstance(like, NotFound)
