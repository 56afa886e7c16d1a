"""Many commands at once: order, shared commits, keys."""

import asyncio

import pytest

from commands import batch
from commands.batch import DeferredRequest
from commands.block import Block
from commands.errors import NotAllowed, NotFound
from commands.post import CreatePost
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events.log import AppendRequest, AppendResult
from infra.in_memory.event_log import MemoryLog
from tests.support.batch_requests import (
    keyed_request,
    like_request,
    outcome_codes,
    post_request,
    register_people,
    register_request,
)
from tests.support.faulty_logs import event_types, new_handler


async def test_each_command_sees_what_the_ones_before_it_did() -> None:
    log = MemoryLog()
    outcomes = await new_handler(log).handle_many(
        [
            register_request("anna"),
            post_request("p", "key:anna"),
            like_request("l1", "@anna", "key:p"),
            like_request("l2", "@Anna", "key:p"),
            register_request("anna2"),
            CommandRequest(Register("anna", "Other"), 0),
        ]
    )
    assert outcome_codes(outcomes) == ["ok", "ok", "ok", "ok", "ok", "handle-taken"]
    assert [one.changed for one in outcomes if isinstance(one, CommandOutcome)] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert event_types(log).count("post-liked") == 1


async def test_a_command_made_needless_by_one_before_it_shows_at_that_ones_position() -> None:
    outcomes = await new_handler(MemoryLog()).handle_many(
        [
            register_request("anna"),
            post_request("p", "@anna"),
            *[like_request(k, "@anna", "key:p") for k in "ab"],
        ]
    )
    first, second = outcomes[2:]
    assert isinstance(first, CommandOutcome)
    assert isinstance(second, CommandOutcome)
    assert not second.changed
    assert second.position >= first.position


async def test_a_refused_command_stops_none_after_it() -> None:
    log = MemoryLog()
    do = new_handler(log)
    (anna,) = await register_people(do, "anna")
    outcomes = await do.handle_many(
        [
            CommandRequest(CreatePost(""), anna),
            CommandRequest(CreatePost("x"), 4711),
            like_request("l", "@anna", "key:nothing"),
            CommandRequest(CreatePost("fine"), anna),
        ]
    )
    assert outcome_codes(outcomes) == ["text-empty", "account-unknown", "post-not-found", "ok"]


async def test_no_commands_are_no_work() -> None:
    assert await new_handler(MemoryLog()).handle_many([]) == []


class CountingLog(MemoryLog):
    """Lets appends wait for one another and counts how many waited at most."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.most = 0

    async def append(self, append: AppendRequest) -> AppendResult:
        """As `MemoryLog`, a moment later."""
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(0)
        self.waiting -= 1
        return await super().append(append)


async def test_commands_of_a_window_wait_for_their_commits_together() -> None:
    log = CountingLog()
    do = new_handler(log)
    (anna,) = await register_people(do, "anna")
    await do.handle_many(
        [CommandRequest(CreatePost(f"{n}"), anna) for n in range(batch.COMMANDS_PER_WINDOW * 2)]
    )
    assert log.most == batch.COMMANDS_PER_WINDOW


async def test_the_log_keeps_the_order_of_commands_that_have_to_do_with_one_another() -> None:
    log = CountingLog()
    do = new_handler(log)
    anna, ben = await register_people(do, "anna", "ben")
    await do.handle_many(
        [
            keyed_request("p", CreatePost("hi"), anna),
            like_request("l", "@ben", "key:p"),
            # Rests on nothing open, but the like looked for it:
            CommandRequest(Block(ben), anna),
        ]
    )
    assert event_types(log)[-3:] == ["post-created", "post-liked", "user-blocked"]


@pytest.mark.parametrize("window", [1, 2, 3, 256])
async def test_a_key_used_twice_in_a_batch_happens_once(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "COMMANDS_PER_WINDOW", window)
    log = MemoryLog()
    outcomes = await new_handler(log).handle_many(
        [
            register_request("anna"),
            post_request("p", "@anna"),
            post_request("p", "@anna"),
            post_request("p", "@anna", "another text"),
            register_request("anna"),
        ]
    )
    assert outcome_codes(outcomes) == ["ok", "ok", "ok", "key-reused", "ok"]
    anna, first, second, _, again = outcomes
    assert isinstance(first, CommandOutcome)
    assert second == first._replace(changed=False, replayed=True, writes=())
    assert isinstance(anna, CommandOutcome)
    assert again == anna._replace(changed=False, replayed=True, writes=())
    assert event_types(log) == ["handle-claimed", "user-registered", "post-created"]


async def test_a_batch_done_again_changes_nothing() -> None:
    log = MemoryLog()
    requests: list[CommandRequest | DeferredRequest] = [
        register_request("anna"),
        post_request("p", "key:anna"),
        like_request("l", "key:anna", "key:p"),
    ]
    first = await new_handler(log).handle_many(requests)
    again = await new_handler(log, first=1000).handle_many(requests)
    assert again == [
        one._replace(changed=False, replayed=True, writes=())
        for one in first
        if isinstance(one, CommandOutcome)
    ]


async def test_a_block_in_a_batch_holds_for_what_comes_after_it() -> None:
    do = new_handler(MemoryLog())
    anna, ben = await register_people(do, "anna", "ben")
    _, _, like = await do.handle_many(
        [
            keyed_request("p", CreatePost("hi"), anna),
            CommandRequest(Block(ben), anna),
            like_request("l", "@ben", "key:p"),
        ]
    )
    assert isinstance(like, NotAllowed)
    assert not isinstance(like, NotFound)
