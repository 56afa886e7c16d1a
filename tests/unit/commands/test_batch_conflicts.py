"""Many commands at once while others write too: nothing rests on what didn't happen."""

from functools import partial

import pytest

from commands.errors import StateConflict
from commands.like import Like
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events.log import LogUnavailable
from events.schema import PostCreated
from tests.support.batch_requests import (
    keyed_request,
    like_request,
    outcome_codes,
    post_request,
    register_people,
    register_request,
)
from tests.support.faulty_logs import ContendedLog, event_types, new_handler, recorded_events


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
