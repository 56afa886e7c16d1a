"""Commands against a simple model of a social network; batches against commands one by one."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from commands import batch, block, follow, like, post, retweet, user
from commands.decider import Command
from commands.errors import CommandRejected
from commands.handler import CommandHandler
from commands.idempotency import key_for_import
from commands.request import CommandOutcome, CommandRequest
from events.envelope import RecordedEvent
from events.ids.snowflake import first_id_at
from events.log import EventLog
from infra.in_memory.event_log import MemoryLog
from tests.support.command_model import CHANGED, REFUSED, UNCHANGED, CommandModel
from tests.support.expected_facts import facts_from_events
from tests.support.faulty_logs import ContendedLog, OneStreamLog, recorded_events
from tests.support.soak import amount
from tests.support.sparse_log import SparseLog

FIRST = first_id_at(1_700_000_000_000)
UNKNOWN_ID = 4711
TEXTS = ("hi", "ho #tag", "@anna", "", "x" * 281)
HANDLES = ("anna", "Anna", "ben", "cara", "dora")

MAKERS: dict[str, Callable[[int, int, int], Command]] = {
    "register": lambda p, u, n: user.Register(HANDLES[n], HANDLES[n]),
    "change_profile": lambda p, u, n: user.ChangeProfile(HANDLES[n]),
    "delete_account": lambda p, u, n: user.DeleteAccount(),
    "post": lambda p, u, n: post.CreatePost(TEXTS[n]),
    "reply": lambda p, u, n: post.CreatePost(TEXTS[n], p),
    "comment": lambda p, u, n: post.Comment(p, TEXTS[n]),
    "edit_post": lambda p, u, n: post.EditPost(p, TEXTS[n]),
    "delete_post": lambda p, u, n: post.DeletePost(p),
    "like": lambda p, u, n: like.Like(p),
    "unlike": lambda p, u, n: like.Unlike(p),
    "retweet": lambda p, u, n: retweet.Retweet(p),
    "unretweet": lambda p, u, n: retweet.Unretweet(p),
    "follow": lambda p, u, n: follow.Follow(u),
    "unfollow": lambda p, u, n: follow.Unfollow(u),
    "remove_follower": lambda p, u, n: follow.RemoveFollower(u),
    "block": lambda p, u, n: block.Block(u),
    "unblock": lambda p, u, n: block.Unblock(u),
    "mute": lambda p, u, n: block.Mute(u),
    "unmute": lambda p, u, n: block.Unmute(u),
}


class ModelStep(NamedTuple):
    """What a user does; users and posts are named by how many were made before them."""

    command: str
    actor: int
    whom: int
    which: int
    wording: int
    key: int


FEW = st.integers(0, 3)
BEGINNING = [ModelStep("register", 0, 0, 0, n, 0) for n in (0, 2, 3)] + [
    ModelStep("post", 1, 0, 0, 0, 0)
]
STEPS = st.lists(
    st.builds(
        ModelStep, st.sampled_from(sorted(MAKERS)), FEW, FEW, FEW, st.integers(0, 4), st.just(0)
    ),
    max_size=40,
).map(lambda steps: BEGINNING + steps)
KEYED = st.lists(
    st.builds(ModelStep, st.sampled_from(sorted(MAKERS)), FEW, FEW, FEW, st.integers(0, 4), FEW),
    max_size=40,
).map(lambda steps: BEGINNING + steps)


class CommandRun:
    """Turns steps into requests, with the ids of what the ones before made."""

    def __init__(self, log: EventLog) -> None:
        self._handler = CommandHandler(log, partial(next, count(FIRST)))
        self._users: list[int] = []
        self._posts: list[int] = []
        self.requests: list[tuple[Command, int, int]] = []

    async def run_step(
        self, step: ModelStep
    ) -> tuple[Command, int, CommandOutcome | CommandRejected]:
        command = MAKERS[step.command](
            _at(self._posts, step.which), _at(self._users, step.whom), step.wording
        )
        registers = isinstance(command, user.Register)
        actor = 0 if registers else _at(self._users, step.actor)
        place = len(self.requests)
        self.requests.append((command, actor, step.key))
        outcome = await attempt(self._handler, request(place, command, actor, step.key))
        if isinstance(outcome, CommandOutcome) and outcome.changed:
            if registers:
                self._users.append(outcome.id)
            elif isinstance(command, post.CreatePost | post.Comment):
                self._posts.append(outcome.id)
        return command, actor, outcome


def _at(made: list[int], place: int) -> int:
    return made[place] if place < len(made) else UNKNOWN_ID


def request(place: int, command: Command, actor: int, key: int) -> CommandRequest:
    """A request whose ids depend on its place alone."""
    once = key_for_import(str(key), command, actor) if key else None
    return CommandRequest(command, actor, once, partial(next, count(FIRST + place * 100)))


async def attempt(
    handler: CommandHandler, request: CommandRequest
) -> CommandOutcome | CommandRejected:
    try:
        return await handler.handle(request)
    except CommandRejected as rejected:
        return rejected


def verdict(outcome: CommandOutcome | CommandRejected) -> str:
    if isinstance(outcome, CommandRejected):
        return REFUSED
    return CHANGED if outcome.changed else UNCHANGED


def comparable_outcome(outcome: CommandOutcome | CommandRejected) -> tuple[object, ...]:
    if isinstance(outcome, CommandRejected):
        return (type(outcome), outcome.code, str(outcome))
    return (outcome.id, outcome.changed, outcome.replayed)


def by_stream(log: EventLog) -> dict[str, list[RecordedEvent]]:
    """The events of each stream; batches may order those of different streams differently."""
    found: dict[str, list[RecordedEvent]] = defaultdict(list)
    for recorded in recorded_events(log):
        found[recorded.stream].append(recorded._replace(position=0))
    return found


async def play(
    log: EventLog, steps: list[ModelStep]
) -> tuple[CommandRun, list[CommandOutcome | CommandRejected]]:
    world = CommandRun(log)
    return world, [(await world.run_step(step))[2] for step in steps]


@given(STEPS, st.sampled_from((MemoryLog, OneStreamLog, SparseLog)))
@settings(max_examples=amount(100, 300))
def test_commands_do_what_a_simple_network_does(
    steps: list[ModelStep], kind: type[MemoryLog]
) -> None:
    async def run() -> None:
        log = kind()
        world, network = CommandRun(log), CommandModel()
        for step in steps:
            command, actor, outcome = await world.run_step(step)
            made = outcome.id if isinstance(outcome, CommandOutcome) else 0
            assert network.apply_command(command, actor, made) == verdict(outcome), step
        assert facts_from_events(recorded_events(log)) == network.facts

    asyncio.run(run())


@given(KEYED, st.integers(1, 12), st.sampled_from((MemoryLog, SparseLog)))
@settings(max_examples=amount(100, 300))
def test_a_batch_does_what_its_commands_do_one_by_one(
    steps: list[ModelStep], window: int, kind: type[MemoryLog]
) -> None:
    async def run() -> None:
        singly, together = MemoryLog(), kind()
        world, expected = await play(singly, steps)
        requests = [request(place, *asked) for place, asked in enumerate(world.requests)]
        handler = CommandHandler(together, partial(next, count(FIRST)))
        with patch.object(batch, "COMMANDS_PER_WINDOW", window):
            outcomes = await handler.handle_many(requests)
        assert [comparable_outcome(one) for one in outcomes] == [
            comparable_outcome(one) for one in expected
        ]
        assert by_stream(together) == by_stream(singly)
        facts_from_events(recorded_events(together))

    asyncio.run(run())


@given(KEYED, st.lists(st.none() | st.integers(0, 43), max_size=20), st.integers(2, 50))
@settings(max_examples=amount(100, 300))
def test_a_batch_never_writes_what_rests_on_something_that_failed(
    steps: list[ModelStep], meddling: list[int | None], window: int
) -> None:
    async def run() -> None:
        world, _ = await play(MemoryLog(), steps)
        asked = world.requests
        log = ContendedLog()
        # Another process, with ids of its own, sends commands of the batch at the same time.
        other = CommandHandler(log, partial(next, count(FIRST + 1_000_000)))
        log.competitors = [
            None
            if place is None
            else partial(
                attempt, other, request(0, *asked[place % len(asked)])._replace(id_source=None)
            )
            for place in meddling
        ]
        requests = [request(place, *what) for place, what in enumerate(asked)]
        with patch.object(batch, "COMMANDS_PER_WINDOW", window):
            outcomes = await CommandHandler(log, partial(next, count(FIRST))).handle_many(requests)
        facts = facts_from_events(recorded_events(log))
        for one, (command, _, _) in zip(outcomes, asked, strict=True):
            if isinstance(one, CommandOutcome) and isinstance(command, user.Register):
                assert one.id in facts.names
            elif isinstance(one, CommandOutcome) and isinstance(command, post.CreatePost):
                assert one.id in facts.texts

    asyncio.run(run())
