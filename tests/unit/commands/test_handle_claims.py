"""Registrations on logs that can't write the handle and the account at once."""

import asyncio

import pytest

from commands import idempotency
from commands.errors import StateConflict, WriteContention
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events import streams
from events.log import AppendRequest, AppendResult, LogUnavailable
from events.schema import HandleClaimed, UserRegistered
from tests.support.faulty_logs import OneStreamLog, event_types, new_handler, recorded_events

ANNA = Register("anna", "Anna")


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
