"""The mission's mix over HTTP at a constant rate: what a request costs of the processor.

Three commands (16 % posts, 7 % comments, 68 % likes, 7 % retweets, 3 % follows) to four home
timelines, of 150 people among 2,000 accounts that follow 25 each. Ours is all of `starling serve`
with one API process, its log and its projector; the peer answers the same requests, a command with
an id and a read with the bytes of a home timeline, and does nothing else. Both get the same number
of requests a second from the same client of our own (asyncio), whatever they answer.

Figures are seconds of the processor, since the machine may have more to do. They fall as the rate
rises: more commands share a commit. The mission's peak is 3,400 commands and 4,600 reads a second;
what all cores would carry is reckoned from what a request costs in both processes at the higher
rate, without what the load itself needs.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import psutil

from events import streams
from events.ids.snowflake import compose_id
from events.schema import Event, PostCreated, UserFollowed, UserRegistered
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.wiring.signing_secret import signing_secret
from tests.bench import open_loop
from tests.bench.http import JSON, TEXT, running_peer, running_starling, send_request
from tests.bench.http_load import HttpRequest
from tests.bench.open_loop import DueRequest
from tests.bench.result import Result
from tests.bench.server_processes import process_cpu, server_cpu
from tests.support.mission_workload import START_MS, append_events
from tests.support.signed_tokens import SignedTokenIssuer

ACCOUNTS: Final = 2_000
FOLLOWED: Final = 25
"""Accounts that each follows."""
PEOPLE: Final = 150
"""Accounts that read and write."""
EARLIER_POSTS: Final = 10_000
COMMANDS: Final = {"post": 16, "comment": 7, "like": 68, "retweet": 7, "follow": 3}
READS_SHARE: Final = 4 / 7
RATES: Final = (800, 2_000)
"""Requests a second: at ease, and near what two cores carry with the client on them."""
SECONDS: Final = 10.0
WARM_SECONDS: Final = 4.0
PEAK: Final = 8_000.0
"""Requests a second of the mission's peak."""
_MEAN_POST_AGE: Final = 40


class RequestCost(NamedTuple):
    """Microseconds of the processor that a request costs."""

    api: float
    projector: float
    peer: float


def measure(runs: int) -> list[Result]:
    """The rows of the mix, each run of ours beside one of the peer."""
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
        world = MixWorld(Settings(data=Path(folder, "data")))
        with running_starling(folder) as port:
            page = Path(folder, "page.json")
            page.write_bytes(world.read_home(port))
            with running_peer(page) as peer:
                _measure_pair(world, port, peer, RATES[0], WARM_SECONDS)
                costs = {
                    rate: [_measure_pair(world, port, peer, rate, SECONDS) for _ in range(runs)]
                    for rate in RATES
                }
    return [*_cost_rows(costs), _capacity_row(costs[RATES[-1]])]


def _cost_rows(costs: dict[int, list[RequestCost]]) -> Iterator[Result]:
    for rate, runs in costs.items():
        at = f"starling serve, {rate:,} requests/s"
        yield Result.from_runs(
            "CPU a request of the mix, API process",
            (at, [one.api for one in runs]),
            ("bare FastAPI, as many requests", [one.peer for one in runs]),
            0.4, "us", higher_is_better=False,
        )  # fmt: skip
        yield Result.from_runs(
            "CPU a request of the mix, projector",
            (at, [one.projector for one in runs]),
            ("bare FastAPI, as many requests", [one.peer for one in runs]),
            0.7, "us", higher_is_better=False,
        )  # fmt: skip


def _capacity_row(runs: list[RequestCost]) -> Result:
    cores = os.cpu_count() or 1
    carried = [1e6 * cores / (one.api + one.projector) for one in runs]
    return Result.from_runs(
        "what all cores would carry of the mix",
        (f"{cores} cores", carried),
        ("the mission's peak", [PEAK] * len(runs)),
        0.5, "requests/s",
    )  # fmt: skip


def _measure_pair(
    world: "MixWorld", port: int, peer: int, rate: int, seconds: float
) -> RequestCost:
    data = world.settings.data
    before = server_cpu(data)
    answers = _send(world.next_request, port, rate, seconds)
    api, projector = server_cpu(data).since(before)
    [bare] = (
        one for one in psutil.Process().children() if "tests.bench.fastapi_peer" in one.cmdline()
    )
    bare_before = process_cpu(bare)
    bare_answers = _send(world.next_bare_request, peer, rate, seconds)
    spent = process_cpu(bare) - bare_before
    return RequestCost(1e6 * api / answers, 1e6 * projector / answers, 1e6 * spent / bare_answers)


def _send(ask: Callable[[int], DueRequest], port: int, rate: int, seconds: float) -> int:
    load = open_loop.send_at_rate(port, PEOPLE, lambda: ask(port), rate, seconds)
    return asyncio.run(load)


class MixWorld:
    """The accounts, who follows whom, what was posted, and what the people do next."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._random = Random(1)
        self._posts: list[int] = []
        self._follows = {
            user: set(self._random.sample(range(1, ACCOUNTS + 1), FOLLOWED)) - {user}
            for user in range(1, ACCOUNTS + 1)
        }
        self._reacted: set[tuple[str, int, int]] = set()
        settings.data.mkdir(parents=True)
        with open_log(settings) as log:
            asyncio.run(append_events(log, self._earlier_events()))
        tokens = SignedTokenIssuer(signing_secret(settings), clock_ms)
        self._tokens = [tokens.issue(person) for person in range(1, PEOPLE + 1)]
        self._headers = [(("Authorization", f"Bearer {token}"),) for token in self._tokens]
        self._kinds, self._weights = list(COMMANDS), list(accumulate(COMMANDS.values()))

    def read_home(self, port: int) -> bytes:
        """The bytes of a person's home timeline."""
        return send_request(port, "GET", "/v1/timelines/home", self._tokens[0])

    def next_request(self, port: int) -> DueRequest:
        """What one of the people does next."""
        sender = self._random.randrange(PEOPLE)
        headers = self._headers[sender]
        if self._random.random() < READS_SHARE:
            return DueRequest(
                sender, HttpRequest(port, "/v1/timelines/home", headers=headers), _ignore
            )
        [kind] = self._random.choices(self._kinds, cum_weights=self._weights)
        if kind in ("post", "comment"):
            body = {"text": TEXT} | (
                {"reply_to": str(self._recent_post())} if kind == "comment" else {}
            )
            request = HttpRequest(port, "/v1/posts", "POST", (*headers, JSON), json.dumps(body))
            return DueRequest(sender, request, self._remember_post)
        path = self._relation_path(kind, sender + 1)
        return DueRequest(sender, HttpRequest(port, path, "PUT", headers), _ignore)

    def next_bare_request(self, port: int) -> DueRequest:
        """The like for the peer, with the same headers."""
        sender = self._random.randrange(PEOPLE)
        headers = self._headers[sender]
        if self._random.random() < READS_SHARE:
            return DueRequest(sender, HttpRequest(port, "/page", headers=headers), _ignore)
        body = json.dumps({"text": TEXT})
        request = HttpRequest(port, "/post", "POST", (*headers, JSON), body)
        return DueRequest(sender, request, _ignore)

    def _relation_path(self, kind: str, person: int) -> str:
        """None that the person asked for before: it would make no event."""
        while kind == "follow":
            followed = self._random.randrange(1, ACCOUNTS + 1)
            if followed != person and followed not in self._follows[person]:
                self._follows[person].add(followed)
                return f"/v1/users/{followed}/follow"
        while (reaction := (kind, person, self._recent_post())) in self._reacted:
            pass
        self._reacted.add(reaction)
        return f"/v1/posts/{reaction[2]}/{kind}"

    def _recent_post(self) -> int:
        age = 1 + int(self._random.expovariate(1 / _MEAN_POST_AGE))
        return self._posts[-min(age, len(self._posts))]

    def _remember_post(self, body: bytes) -> None:
        self._posts.append(int(json.loads(body)["id"]))

    def _earlier_events(self) -> Iterator[tuple[int, str, int, Event]]:
        ids: Callable[[], int] = (
            compose_id(START_MS + number * 10, 1, 0) for number in count()
        ).__next__
        for user in self._follows:
            registered = UserRegistered(user, f"user{user}", f"User {user}", "")
            yield ids(), streams.user_stream(user), user, registered
        for follower, followed in self._follows.items():
            for user in sorted(followed):
                stream = streams.follow_stream(user, follower)
                yield ids(), stream, follower, UserFollowed(user, follower)
        for _ in range(EARLIER_POSTS):
            post, author = ids(), self._random.randrange(1, ACCOUNTS + 1)
            self._posts.append(post)
            yield post, streams.post_stream(post), author, PostCreated(post, author, TEXT, None, ())


def _ignore(_body: bytes) -> None:
    pass
