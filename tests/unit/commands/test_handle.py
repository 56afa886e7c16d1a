"""How one command is done: what it leaves in the log, conflicts, keys."""

import asyncio
import threading
from functools import partial

import pytest

from commands import keys
from commands.errors import Conflict, Contended, Invalid, NotAllowed
from commands.handle import ATTEMPTS, Handler, Outcome, Request
from commands.like import Like, Unlike
from commands.post import CreatePost, EditPost
from commands.user import ChangeProfile, Register
from events import streams
from events.log import LogUnavailable
from events.schema import PostEdited, UserRegistered
from infra.logs.memory import MemoryLog
from tests.unit.commands.logs import DistantLog, MeddledLog, events, handler, happened

ANNA = Register("anna", "Anna")


async def anna_and_a_post(handler: Handler) -> tuple[int, int]:
    anna = (await handler.handle(Request(ANNA, 0))).id
    return anna, (await handler.handle(Request(CreatePost("hi"), anna))).id


async def test_what_a_command_makes_has_the_id_of_its_first_event() -> None:
    log = MemoryLog()
    anna, post = await anna_and_a_post(handler(log))
    claimed, registered, posted = events(log)
    assert (claimed.id, posted.id) == (anna, post)
    assert claimed.id < registered.id < posted.id
    assert registered.event == UserRegistered(anna, "anna", "Anna")
    assert registered.stream == streams.user(anna)


async def test_events_say_who_acted_and_which_request_led_to_them() -> None:
    log = MemoryLog()
    anna, post = await anna_and_a_post(handler(log))
    claimed, registered, posted = events(log)
    assert [claimed.actor, registered.actor, posted.actor] == [anna, anna, anna]
    assert [claimed.correlation, registered.correlation] == [claimed.id, claimed.id]
    assert (posted.correlation, posted.causation) == (post, 0)


async def test_the_outcome_names_what_the_command_is_about_and_where_it_shows() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, post = await anna_and_a_post(do)
    liked = await do.handle(Request(Like(post), anna))
    assert liked._replace(writes=()) == Outcome(post, log.head(), changed=True, repeated=False)
    again = await do.handle(Request(Like(post), anna))
    assert again == Outcome(post, liked.position, changed=False, repeated=False)
    changed = await do.handle(Request(ChangeProfile("Ann"), anna))
    assert changed._replace(writes=()) == Outcome(anna, log.head(), changed=True, repeated=False)


async def test_the_outcome_has_what_was_written() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, post = await anna_and_a_post(do)
    liked = await do.handle(Request(Like(post), anna))
    written = [new.event for write in liked.writes for new in write.events]
    assert written == [events(log)[-1].event]
    assert (await do.handle(Request(Like(post), anna))).writes == ()


async def test_ids_may_come_from_another_source() -> None:
    log = MemoryLog()
    given = iter([4711, 4712])
    outcome = await handler(log).handle(Request(ANNA, 0, ids=partial(next, given)))
    assert outcome.id == 4711
    assert [event.id for event in events(log)] == [4711, 4712]


async def test_a_conflict_decides_again_on_what_is_there_now() -> None:
    log = MeddledLog()
    anna, post = await anna_and_a_post(handler(log))
    other_tab = Request(Like(post), anna)
    log.meddlers = [partial(handler(log, first=1000).handle, other_tab)]
    outcome = await handler(log, first=2000).handle(Request(Like(post), anna))
    assert not outcome.changed
    assert happened(log).count("post-liked") == 1


async def test_a_conflict_that_changes_the_answer_refuses_the_command() -> None:
    log = MeddledLog()
    log.meddlers = [partial(handler(log).handle, Request(ANNA, 0))]
    with pytest.raises(Conflict) as caught:
        await handler(log, first=1000).handle(Request(Register("anna", "Other"), 0))
    assert caught.value.code == "handle-taken"
    assert happened(log) == ["handle-claimed", "user-registered"]


async def test_after_too_many_conflicts_the_command_gives_up_and_writes_nothing() -> None:
    log = MeddledLog()
    anna, post = await anna_and_a_post(handler(log))
    other = handler(log, first=1000)
    log.meddlers = [
        partial(other.handle, Request(EditPost(post, f"version {n}"), anna))
        for n in range(ATTEMPTS)
    ]
    with pytest.raises(Contended):
        await handler(log, first=2000).handle(Request(EditPost(post, "mine"), anna))
    edits = [e.event.text for e in events(log) if isinstance(e.event, PostEdited)]
    assert edits == [f"version {n}" for n in range(ATTEMPTS)]


async def test_one_conflict_less_succeeds() -> None:
    log = MeddledLog()
    anna, post = await anna_and_a_post(handler(log))
    other = handler(log, first=1000)
    log.meddlers = [
        partial(other.handle, Request(EditPost(post, f"version {n}"), anna))
        for n in range(ATTEMPTS - 1)
    ]
    outcome = await handler(log, first=2000).handle(Request(EditPost(post, "mine"), anna))
    assert outcome.changed


async def test_a_repeated_key_gives_the_first_result_and_writes_nothing() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, _ = await anna_and_a_post(do)
    command = CreatePost("once")
    request = Request(command, anna, keys.of_user(anna, "k", command))
    first = await do.handle(request)
    head = log.head()
    again = await do.handle(request)
    assert again == Outcome(first.id, first.position, changed=False, repeated=True)
    assert log.head() == head


async def test_a_repeated_registration_is_not_refused_for_its_own_handle() -> None:
    log = MemoryLog()
    do = handler(log)
    request = Request(ANNA, 0, keys.of_registration("k", ANNA))
    first = await do.handle(request)
    again = await do.handle(request)
    assert again == Outcome(first.id, first.position, changed=False, repeated=True)
    assert len(events(log)) == 2


async def test_a_key_for_another_content_is_refused() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, _ = await anna_and_a_post(do)
    one = CreatePost("one")
    await do.handle(Request(one, anna, keys.of_user(anna, "k", one)))
    for other in (CreatePost("two"), CreatePost("")):
        with pytest.raises(Conflict) as caught:
            await do.handle(Request(other, anna, keys.of_user(anna, "k", other)))
        assert caught.value.code == "key-reused"


async def test_keys_of_two_users_never_meet() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, _ = await anna_and_a_post(do)
    ben = (await do.handle(Request(Register("ben", "Ben"), 0))).id
    for user in (anna, ben):
        command = CreatePost(f"by {user}")
        outcome = await do.handle(Request(command, user, keys.of_user(user, "k", command)))
        assert outcome.changed


async def test_a_key_is_remembered_where_nothing_had_to_change() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, post = await anna_and_a_post(do)
    unlike = Request(Unlike(post), anna, keys.of_user(anna, "k", Unlike(post)))
    assert not (await do.handle(unlike)).changed
    await do.handle(Request(Like(post), anna))
    assert (await do.handle(unlike)).repeated
    assert "post-unliked" not in happened(log)


async def test_the_key_of_a_refused_command_can_be_used_again() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, _ = await anna_and_a_post(do)
    for text, fine in (("", False), ("words", True)):
        command = CreatePost(text)
        request = Request(command, anna, keys.of_user(anna, "k", command))
        if fine:
            assert (await do.handle(request)).changed
        else:
            with pytest.raises(Invalid):
                await do.handle(request)


@pytest.mark.parametrize("key", ["", "a" * 201, "a\nb", "a\0"])
def test_a_key_is_1_to_200_printable_characters(key: str) -> None:
    with pytest.raises(Invalid) as caught:
        keys.of_user(1, key, ANNA)
    assert caught.value.code == "key-invalid"


async def test_reads_of_a_distant_log_keep_off_the_loop() -> None:
    log = DistantLog()
    do = handler(log)
    anna, post = await anna_and_a_post(do)
    await do.handle_many([Request(Like(post), anna)])
    assert log.readers
    assert threading.main_thread() not in log.readers


async def test_of_many_who_want_one_handle_one_gets_it() -> None:
    log = DistantLog()
    came = await asyncio.gather(
        *(handler(log, first=100 * n).handle(Request(ANNA, 0)) for n in range(30)),
        return_exceptions=True,
    )
    winners = [outcome for outcome in came if isinstance(outcome, Outcome)]
    assert len(winners) == 1
    assert all(isinstance(other, Conflict | Contended | Outcome) for other in came)
    registered = [e.event.user for e in events(log) if isinstance(e.event, UserRegistered)]
    assert registered == [winners[0].id]


async def test_a_log_that_is_gone_is_said_to_be_gone() -> None:
    log = MemoryLog()
    do = handler(log)
    anna, _ = await anna_and_a_post(do)
    log.close()
    with pytest.raises(LogUnavailable):
        await do.handle(Request(CreatePost("x"), anna))
    with pytest.raises(LogUnavailable):
        await do.handle_many([Request(CreatePost("x"), anna)])


async def test_a_refusal_by_the_rules_reaches_the_caller_as_it_is() -> None:
    with pytest.raises(NotAllowed):
        await handler(MemoryLog()).handle(Request(CreatePost("x"), 4711))
