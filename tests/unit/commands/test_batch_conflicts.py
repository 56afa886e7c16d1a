"""Many commands at once while others write too: nothing rests on what didn't happen."""

from functools import partial

import pytest

from commands.errors import Conflict
from commands.handle import Outcome, Request
from commands.like import Like
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.user import Register
from events.log import LogUnavailable
from events.schema import PostCreated
from tests.unit.commands.logs import MeddledLog, events, handler, happened
from tests.unit.commands.requests import codes, keyed, liking, people, posting, register


async def test_what_rests_on_something_that_failed_is_decided_again() -> None:
    log = MeddledLog()
    other = handler(log, first=1000)
    log.meddlers = [partial(other.handle, Request(Register("anna", "Other"), 0))]
    came = await handler(log).handle_many(
        [
            register("anna"),
            posting("p1", "key:anna"),
            posting("p2", "@anna"),
            register("ben"),
            liking("l", "@ben", "key:p1"),
        ]
    )
    assert codes(came) == [
        "handle-taken", "user-not-found", "ok", "ok", "post-not-found",
    ]  # fmt: skip
    assert "post-liked" not in happened(log)


async def test_an_edit_after_an_edit_that_failed_does_not_slip_in() -> None:
    log = MeddledLog()
    do = handler(log)
    (anna,) = await people(do, "anna")
    post = (await do.handle(Request(CreatePost("hi"), anna))).id
    log.meddlers = [partial(handler(log, first=1000).handle, Request(DeletePost(post), anna))]
    came = await do.handle_many(
        [Request(EditPost(post, text), anna) for text in ("one", "two", "three")]
    )
    assert codes(came) == ["post-not-found"] * 3
    assert "post-edited" not in happened(log)


async def test_a_key_that_somebody_else_used_meanwhile_leaves_no_phantom() -> None:
    log = MeddledLog()
    do = handler(log)
    anna, _ = await people(do, "anna", "ben")
    same = keyed("p", CreatePost("hi"), anna)
    log.meddlers = [partial(handler(log, first=1000).handle, same)]
    came = await do.handle_many([same, liking("l", "@ben", "key:p")])
    post, like = came
    assert isinstance(post, Outcome)
    assert isinstance(like, Outcome)
    assert (post.repeated, like.changed, like.id) == (True, True, post.id)
    assert happened(log).count("post-created") == 1


async def test_a_key_that_somebody_else_used_for_other_content_meanwhile_is_refused() -> None:
    log = MeddledLog()
    do = handler(log)
    anna, ben = await people(do, "anna", "ben")
    theirs = keyed("p", CreatePost("theirs"), ben)
    log.meddlers = [partial(handler(log, first=1000).handle, theirs)]
    mine, comment = await do.handle_many(
        [
            keyed("p", CreatePost("mine"), anna),
            lambda references: Request(Comment(references.post("key:p"), "yes"), ben),
        ]
    )
    assert isinstance(mine, Conflict)
    assert isinstance(comment, Outcome)
    assert happened(log).count("post-created") == 2


async def test_what_a_key_refers_to_is_looked_up_again_when_the_key_was_somebody_elses() -> None:
    log = MeddledLog()
    do = handler(log)
    anna, ben = await people(do, "anna", "ben")
    one, two = [(await do.handle(Request(CreatePost("hi"), anna))).id for _ in range(2)]
    log.meddlers = [partial(handler(log, first=1000).handle, keyed("l", Like(two), ben))]
    like, comment = await do.handle_many(
        [
            keyed("l", Like(one), ben),
            lambda references: Request(Comment(references.post("key:l"), "yes"), ben),
        ]
    )
    assert codes([like, comment]) == ["key-reused", "ok"]
    (written,) = [e.event for e in events(log) if getattr(e.event, "text", "") == "yes"]
    assert isinstance(written, PostCreated)
    assert written.reply_to == two


async def test_a_log_that_fails_in_the_middle_fails_the_batch() -> None:
    log = MeddledLog()
    do = handler(log)
    (anna,) = await people(do, "anna")

    async def close() -> None:
        log.close()

    log.meddlers = [None, close]
    with pytest.raises(LogUnavailable):
        await do.handle_many([Request(CreatePost(f"{n}"), anna) for n in range(3)])
