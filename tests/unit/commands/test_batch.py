"""Many commands at once: order, shared commits, keys, and conflicts with other writers."""

import asyncio
from functools import partial

import pytest

from commands import batch
from commands.batch import DeferredRequest
from commands.block import Block
from commands.errors import NotAllowed, NotFound, StateConflict
from commands.like import Like
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events.log import AppendRequest, AppendResult, LogUnavailable
from events.schema import PostCreated
from infra.in_memory.event_log import MemoryLog
from tests.support.batch_requests import (
    keyed_request,
    like_request,
    outcome_codes,
    post_request,
    register_people,
    register_request,
)
from tests.support.faulty_logs import ContendedLog, event_types, new_handler, recorded_events


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


async def test_what_rests_on_something_that_failed_is_decided_again() -> None:
    log = ContendedLog()
    other = new_handler(log, first=1000)
    log.competitors = [partial(other.handle, CommandRequest(Register("anna", "Other"), 0))]
    outcomes = await new_handler(log).handle_many(
        [
            register_request("anna"),
            post_request("p1", "key:anna"),
            post_request("p2", "@anna"),
            register_request("ben"),
            like_request("l", "@ben", "key:p1"),
        ]
    )
    assert outcome_codes(outcomes) == [
        "handle-taken", "user-not-found", "ok", "ok", "post-not-found",
    ]  # fmt: skip
    assert "post-liked" not in event_types(log)


async def test_an_edit_after_an_edit_that_failed_does_not_slip_in() -> None:
    log = ContendedLog()
    do = new_handler(log)
    (anna,) = await register_people(do, "anna")
    post = (await do.handle(CommandRequest(CreatePost("hi"), anna))).id
    log.competitors = [
        partial(new_handler(log, first=1000).handle, CommandRequest(DeletePost(post), anna))
    ]
    outcomes = await do.handle_many(
        [CommandRequest(EditPost(post, text), anna) for text in ("one", "two", "three")]
    )
    assert outcome_codes(outcomes) == ["post-not-found"] * 3
    assert "post-edited" not in event_types(log)


async def test_a_key_used_by_another_request_meanwhile_leaves_no_phantom() -> None:
    log = ContendedLog()
    do = new_handler(log)
    anna, _ = await register_people(do, "anna", "ben")
    same = keyed_request("p", CreatePost("hi"), anna)
    log.competitors = [partial(new_handler(log, first=1000).handle, same)]
    outcomes = await do.handle_many([same, like_request("l", "@ben", "key:p")])
    post, like = outcomes
    assert isinstance(post, CommandOutcome)
    assert isinstance(like, CommandOutcome)
    assert (post.replayed, like.changed, like.id) == (True, True, post.id)
    assert event_types(log).count("post-created") == 1


async def test_a_key_used_by_another_request_for_other_content_meanwhile_is_refused() -> None:
    log = ContendedLog()
    do = new_handler(log)
    anna, ben = await register_people(do, "anna", "ben")
    theirs = keyed_request("p", CreatePost("theirs"), ben)
    log.competitors = [partial(new_handler(log, first=1000).handle, theirs)]
    mine, comment = await do.handle_many(
        [
            keyed_request("p", CreatePost("mine"), anna),
            lambda references: CommandRequest(Comment(references.post_id("key:p"), "yes"), ben),
        ]
    )
    assert isinstance(mine, StateConflict)
    assert isinstance(comment, CommandOutcome)
    assert event_types(log).count("post-created") == 2


async def test_what_a_key_refers_to_is_looked_up_again_when_another_request_used_the_key() -> None:
    log = ContendedLog()
    do = new_handler(log)
    anna, ben = await register_people(do, "anna", "ben")
    one, two = [(await do.handle(CommandRequest(CreatePost("hi"), anna))).id for _ in range(2)]
    log.competitors = [
        partial(new_handler(log, first=1000).handle, keyed_request("l", Like(two), ben))
    ]
    like, comment = await do.handle_many(
        [
            keyed_request("l", Like(one), ben),
            lambda references: CommandRequest(Comment(references.post_id("key:l"), "yes"), ben),
        ]
    )
    assert outcome_codes([like, comment]) == ["key-reused", "ok"]
    (written,) = [e.event for e in recorded_events(log) if getattr(e.event, "text", "") == "yes"]
    assert isinstance(written, PostCreated)
    assert written.reply_to == two


async def test_a_log_that_fails_in_the_middle_fails_the_batch() -> None:
    log = ContendedLog()
    do = new_handler(log)
    (anna,) = await register_people(do, "anna")

    async def close() -> None:
        log.close()

    log.competitors = [None, close]
    with pytest.raises(LogUnavailable):
        await do.handle_many([CommandRequest(CreatePost(f"{n}"), anna) for n in range(3)])
