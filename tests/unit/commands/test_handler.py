"""How one command is done: what it leaves in the log, conflicts, keys; claims of handles."""

import asyncio
import threading
from functools import partial

import pytest

from commands import idempotency
from commands.errors import InvalidInput, NotAllowed, StateConflict, WriteContention
from commands.handler import MAX_ATTEMPTS, CommandHandler
from commands.like import Like, Unlike
from commands.post import CreatePost, EditPost
from commands.request import CommandOutcome, CommandRequest
from commands.user import ChangeProfile, Register
from events import streams
from events.log import AppendRequest, AppendResult, LogUnavailable
from events.schema import HandleClaimed, PostEdited, UserRegistered
from infra.in_memory.event_log import MemoryLog
from tests.support.faulty_logs import (
    ContendedLog,
    OneStreamLog,
    RemoteLog,
    event_types,
    new_handler,
    recorded_events,
)

ANNA = Register("anna", "Anna")


async def anna_and_a_post(handler: CommandHandler) -> tuple[int, int]:
    anna = (await handler.handle(CommandRequest(ANNA, 0))).id
    return anna, (await handler.handle(CommandRequest(CreatePost("hi"), anna))).id


async def test_what_a_command_makes_has_the_id_of_its_first_event() -> None:
    log = MemoryLog()
    anna, post = await anna_and_a_post(new_handler(log))
    claimed, registered, posted = recorded_events(log)
    assert (claimed.id, posted.id) == (anna, post)
    assert claimed.id < registered.id < posted.id
    assert registered.event == UserRegistered(anna, "anna", "Anna")
    assert registered.stream == streams.user_stream(anna)


async def test_events_say_who_acted_and_which_request_led_to_them() -> None:
    log = MemoryLog()
    anna, post = await anna_and_a_post(new_handler(log))
    claimed, registered, posted = recorded_events(log)
    assert [claimed.actor, registered.actor, posted.actor] == [anna, anna, anna]
    assert [claimed.correlation, registered.correlation] == [claimed.id, claimed.id]
    assert (posted.correlation, posted.causation) == (post, 0)


async def test_the_outcome_names_what_the_command_is_about_and_where_it_shows() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, post = await anna_and_a_post(do)
    liked = await do.handle(CommandRequest(Like(post), anna))
    assert liked._replace(writes=()) == CommandOutcome(
        post, log.head(), changed=True, replayed=False
    )
    again = await do.handle(CommandRequest(Like(post), anna))
    assert again == CommandOutcome(post, liked.position, changed=False, replayed=False)
    changed = await do.handle(CommandRequest(ChangeProfile("Ann"), anna))
    assert changed._replace(writes=()) == CommandOutcome(
        anna, log.head(), changed=True, replayed=False
    )


async def test_the_outcome_has_what_was_written() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, post = await anna_and_a_post(do)
    liked = await do.handle(CommandRequest(Like(post), anna))
    written = [new.event for write in liked.writes for new in write.events]
    assert written == [recorded_events(log)[-1].event]
    assert (await do.handle(CommandRequest(Like(post), anna))).writes == ()


async def test_ids_may_come_from_another_source() -> None:
    log = MemoryLog()
    given = iter([4711, 4712])
    outcome = await new_handler(log).handle(CommandRequest(ANNA, 0, id_source=partial(next, given)))
    assert outcome.id == 4711
    assert [event.id for event in recorded_events(log)] == [4711, 4712]


async def test_a_conflict_decides_again_on_what_is_there_now() -> None:
    log = ContendedLog()
    anna, post = await anna_and_a_post(new_handler(log))
    other_tab = CommandRequest(Like(post), anna)
    log.competitors = [partial(new_handler(log, first=1000).handle, other_tab)]
    outcome = await new_handler(log, first=2000).handle(CommandRequest(Like(post), anna))
    assert not outcome.changed
    assert event_types(log).count("post-liked") == 1


async def test_a_conflict_that_changes_the_answer_refuses_the_command() -> None:
    log = ContendedLog()
    log.competitors = [partial(new_handler(log).handle, CommandRequest(ANNA, 0))]
    with pytest.raises(StateConflict) as caught:
        await new_handler(log, first=1000).handle(CommandRequest(Register("anna", "Other"), 0))
    assert caught.value.code == "handle-taken"
    assert event_types(log) == ["handle-claimed", "user-registered"]


async def test_after_too_many_conflicts_the_command_gives_up_and_writes_nothing() -> None:
    log = ContendedLog()
    anna, post = await anna_and_a_post(new_handler(log))
    other = new_handler(log, first=1000)
    log.competitors = [
        partial(other.handle, CommandRequest(EditPost(post, f"version {n}"), anna))
        for n in range(MAX_ATTEMPTS)
    ]
    with pytest.raises(WriteContention):
        await new_handler(log, first=2000).handle(CommandRequest(EditPost(post, "mine"), anna))
    edits = [e.event.text for e in recorded_events(log) if isinstance(e.event, PostEdited)]
    assert edits == [f"version {n}" for n in range(MAX_ATTEMPTS)]


async def test_one_conflict_less_succeeds() -> None:
    log = ContendedLog()
    anna, post = await anna_and_a_post(new_handler(log))
    other = new_handler(log, first=1000)
    log.competitors = [
        partial(other.handle, CommandRequest(EditPost(post, f"version {n}"), anna))
        for n in range(MAX_ATTEMPTS - 1)
    ]
    outcome = await new_handler(log, first=2000).handle(
        CommandRequest(EditPost(post, "mine"), anna)
    )
    assert outcome.changed


async def test_a_repeated_key_gives_the_first_result_and_writes_nothing() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, _ = await anna_and_a_post(do)
    command = CreatePost("once")
    request = CommandRequest(command, anna, idempotency.key_for_user(anna, "k", command))
    first = await do.handle(request)
    head = log.head()
    again = await do.handle(request)
    assert again == CommandOutcome(first.id, first.position, changed=False, replayed=True)
    assert log.head() == head


async def test_a_repeated_registration_is_not_refused_for_its_own_handle() -> None:
    log = MemoryLog()
    do = new_handler(log)
    request = CommandRequest(ANNA, 0, idempotency.key_for_registration("k", ANNA))
    first = await do.handle(request)
    again = await do.handle(request)
    assert again == CommandOutcome(first.id, first.position, changed=False, replayed=True)
    assert len(recorded_events(log)) == 2


async def test_a_key_for_another_content_is_refused() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, _ = await anna_and_a_post(do)
    one = CreatePost("one")
    await do.handle(CommandRequest(one, anna, idempotency.key_for_user(anna, "k", one)))
    for other in (CreatePost("two"), CreatePost("")):
        with pytest.raises(StateConflict) as caught:
            await do.handle(CommandRequest(other, anna, idempotency.key_for_user(anna, "k", other)))
        assert caught.value.code == "key-reused"


async def test_keys_of_two_users_never_meet() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, _ = await anna_and_a_post(do)
    ben = (await do.handle(CommandRequest(Register("ben", "Ben"), 0))).id
    for user in (anna, ben):
        command = CreatePost(f"by {user}")
        outcome = await do.handle(
            CommandRequest(command, user, idempotency.key_for_user(user, "k", command))
        )
        assert outcome.changed


async def test_a_key_is_remembered_where_nothing_had_to_change() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, post = await anna_and_a_post(do)
    unlike = CommandRequest(Unlike(post), anna, idempotency.key_for_user(anna, "k", Unlike(post)))
    assert not (await do.handle(unlike)).changed
    await do.handle(CommandRequest(Like(post), anna))
    assert (await do.handle(unlike)).replayed
    assert "post-unliked" not in event_types(log)


async def test_the_key_of_a_refused_command_can_be_used_again() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, _ = await anna_and_a_post(do)
    for text, fine in (("", False), ("words", True)):
        command = CreatePost(text)
        request = CommandRequest(command, anna, idempotency.key_for_user(anna, "k", command))
        if fine:
            assert (await do.handle(request)).changed
        else:
            with pytest.raises(InvalidInput):
                await do.handle(request)


@pytest.mark.parametrize("key", ["", "a" * 201, "a\nb", "a\0"])
def test_a_key_is_1_to_200_printable_characters(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        idempotency.key_for_user(1, key, ANNA)
    assert caught.value.code == "key-invalid"


async def test_reads_of_a_distant_log_keep_off_the_loop() -> None:
    log = RemoteLog()
    do = new_handler(log)
    anna, post = await anna_and_a_post(do)
    await do.handle_many([CommandRequest(Like(post), anna)])
    assert log.reader_threads
    assert threading.main_thread() not in log.reader_threads


async def test_of_many_who_want_one_handle_one_gets_it() -> None:
    log = RemoteLog()
    outcomes = await asyncio.gather(
        *(new_handler(log, first=100 * n).handle(CommandRequest(ANNA, 0)) for n in range(30)),
        return_exceptions=True,
    )
    winners = [outcome for outcome in outcomes if isinstance(outcome, CommandOutcome)]
    assert len(winners) == 1
    assert all(
        isinstance(other, StateConflict | WriteContention | CommandOutcome) for other in outcomes
    )
    registered = [e.event.user for e in recorded_events(log) if isinstance(e.event, UserRegistered)]
    assert registered == [winners[0].id]


async def test_an_unavailable_log_is_reported_as_unavailable() -> None:
    log = MemoryLog()
    do = new_handler(log)
    anna, _ = await anna_and_a_post(do)
    log.close()
    with pytest.raises(LogUnavailable):
        await do.handle(CommandRequest(CreatePost("x"), anna))
    with pytest.raises(LogUnavailable):
        await do.handle_many([CommandRequest(CreatePost("x"), anna)])


async def test_a_refusal_by_the_rules_reaches_the_caller_as_it_is() -> None:
    with pytest.raises(NotAllowed):
        await new_handler(MemoryLog()).handle(CommandRequest(CreatePost("x"), 4711))


def registered(log: OneStreamLog) -> list[int]:
    return [e.event.user for e in recorded_events(log) if isinstance(e.event, UserRegistered)]


def holder(log: OneStreamLog) -> int:
    newest = recorded_events(log, streams.handle_stream("anna"))[-1].event
    assert isinstance(newest, HandleClaimed)
    return newest.user


async def test_the_claim_is_written_before_the_account() -> None:
    log = OneStreamLog()
    outcome = await new_handler(log).handle(CommandRequest(ANNA, 0))
    assert event_types(log) == ["handle-claimed", "user-registered"]
    assert outcome._replace(writes=()) == CommandOutcome(
        holder(log), log.head(), changed=True, replayed=False
    )


async def test_a_claim_left_by_a_crash_is_taken_over() -> None:
    log = OneStreamLog(2)
    with pytest.raises(LogUnavailable):
        await new_handler(log).handle(CommandRequest(ANNA, 0))
    assert event_types(log) == ["handle-claimed"]
    outcome = await new_handler(log, first=100).handle(CommandRequest(ANNA, 0))
    assert event_types(log)[1:] == ["registration-abandoned", "handle-claimed", "user-registered"]
    assert registered(log) == [outcome.id] == [holder(log)]


@pytest.mark.parametrize("gone", [3, 4])
async def test_a_takeover_left_by_a_crash_is_taken_over_too(gone: int) -> None:
    log = OneStreamLog(2, gone, gone + 1)
    for attempt in range(2):
        with pytest.raises(LogUnavailable):
            await new_handler(log, first=100 * attempt).handle(CommandRequest(ANNA, 0))
    with pytest.raises(LogUnavailable):
        await new_handler(log, first=200).handle(CommandRequest(ANNA, 0))
    outcome = await new_handler(log, first=300).handle(CommandRequest(ANNA, 0))
    assert registered(log) == [outcome.id] == [holder(log)]


async def test_the_key_is_remembered_only_with_the_account() -> None:
    log = OneStreamLog(2)
    request = CommandRequest(ANNA, 0, idempotency.key_for_registration("k", ANNA))
    do = new_handler(log)
    with pytest.raises(LogUnavailable):
        await do.handle(request)
    second = await do.handle(request)
    assert (second.changed, second.replayed) == (True, False)
    third = await do.handle(request)
    assert (third.id, third.replayed) == (second.id, True)


class SlowRegistration(OneStreamLog):
    """Holds the first registration up between its claim and its account."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed = asyncio.Event()
        self.go_on = asyncio.Event()

    async def append(self, append: AppendRequest) -> AppendResult:
        """As `OneStreamLog`, but the first account waits."""
        completes = isinstance(append.writes[0].events[0].event, UserRegistered)
        if completes and not self.claimed.is_set():
            self.claimed.set()
            await self.go_on.wait()
        return await super().append(append)


async def test_a_registration_overtaken_while_it_was_slow_loses_the_handle() -> None:
    log = SlowRegistration()
    slow = asyncio.create_task(new_handler(log).handle(CommandRequest(ANNA, 0)))
    await log.claimed.wait()
    quick = await new_handler(log, first=100).handle(CommandRequest(Register("anna", "Other"), 0))
    log.go_on.set()
    with pytest.raises(StateConflict) as caught:
        await slow
    assert caught.value.code == "handle-taken"
    assert registered(log) == [quick.id] == [holder(log)]


async def test_of_many_who_race_with_claims_one_ends_with_the_handle() -> None:
    log = OneStreamLog()
    tasks = [new_handler(log, first=100 * n).handle(CommandRequest(ANNA, 0)) for n in range(40)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    winners = [outcome.id for outcome in outcomes if isinstance(outcome, CommandOutcome)]
    assert all(
        isinstance(outcome, CommandOutcome | StateConflict | WriteContention)
        for outcome in outcomes
    )
    assert registered(log) == winners == [holder(log)]


async def test_a_batch_registers_and_uses_accounts_on_such_a_log_too() -> None:
    log = OneStreamLog()
    requests = [CommandRequest(Register(f"user{n}", "User"), 0) for n in range(20)]
    outcomes = await new_handler(log).handle_many(requests)
    assert len(registered(log)) == 20
    assert registered(log) == [
        outcome.id for outcome in outcomes if isinstance(outcome, CommandOutcome)
    ]
