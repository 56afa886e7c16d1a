"""The whole API in this process, on adapters in memory, for tests that speak HTTP to it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI

from api.app import build
from api.auth import Tokens
from api.passwords import Passwords
from api.ports import Lag, PastBusy, Ports, WaitFor
from commands.handle import Handler
from commands.references import References
from events.codec import CODEC
from events.id_generator import Snowflake
from events.schema import STORED
from events.timed_ids import TimedIds
from infra.accounts.sqlite import SqliteAccounts
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from infra.views.no_rings import NoRings
from projections.catalog import CATALOG, TOUCHES
from projections.home import Home
from projections.store import Changes
from streams.dead_letters import kept
from streams.past import Moment, project_past
from streams.step import step
from tests.clocks import HandClock
from tests.e2e.looking import NoOperations

NOON = 1_770_000_000_000
"""Unix ms at which each world begins."""

PASSWORD = "correct horse"


class World:
    """A log, its views and the API over both. Time stands still unless a test moves it.

    The views are brought up to date when somebody waits for them, or by `settle`.
    """

    def __init__(self) -> None:
        self.clock = HandClock(NOON)
        self.log = MemoryLog()
        self.accounts = SqliteAccounts(":memory:")
        self.stores = {p.name: MemoryStore(kept(p)) for p in CATALOG}
        self.positions = dict.fromkeys(self.stores, 0)
        self.silent = 0.0
        """Seconds since the last sign of life of whoever keeps the views current."""
        self.busy = False
        """Whether the past can't be had now."""
        self.touched: list[tuple[int, int]] = []
        self.waiting: WaitFor = self.settled_at
        """What waiting for views does; a test may put something else here."""
        new_id = Snowflake(1, self.clock, self.clock.wait, NOON - 1).next
        self.tokens = Tokens(b"the secret of a test", self.clock)
        self.ports = Ports(
            log=self.log,
            handler=Handler(self.log, new_id),
            references=References(self.log),
            views=self,
            past=self,
            home=Home(lambda: self.stores["timeline"], NoRings()),
            accounts=self.accounts,
            tokens=self.tokens,
            clock_ms=self.clock,
            new_id=new_id,
            importing=self.importing,
            changes=self.changes,
            wait_for=lambda names, position, timeout: self.waiting(names, position, timeout),
            lag=self.lag,
            operations=NoOperations(self.log, self),
            ready_within=10,
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)),
        )
        self.app: FastAPI = build(self.ports)

    def store(self, projection: str) -> MemoryStore:
        """As `Views.store`."""
        return self.stores[projection]

    def position(self, projection: str) -> int:
        """As `Views.position`."""
        return self.positions[projection]

    async def at(self, projections: Collection[str], ms: int) -> Mapping[str, MemoryStore]:
        """As `Past.at`."""
        if self.busy:
            raise PastBusy
        stores = {}
        for projection in (one for one in CATALOG if one.name in projections):
            store = stores[projection.name] = MemoryStore(kept(projection))
            await project_past(self.log, projection, store, Moment.of_time(ms, self.log.head()))
        return stores

    @contextmanager
    def importing(self) -> Iterator[Any]:
        """As `Ports.importing`."""
        yield TimedIds([1008], self.log.ids_between).at

    def changes(self) -> Sequence[tuple[int, int]]:
        """As `Ports.changes`."""
        touched, self.touched = self.touched, []
        return touched

    async def settled_at(self, projections: Collection[str], position: int, timeout: float) -> bool:
        """As `Ports.wait_for`."""
        await self.settle()
        return all(self.positions[name] >= position for name in projections)

    def lag(self) -> list[Lag]:
        """As `Ports.lag`."""
        head = self.log.head()
        return [Lag(name, position, head, self.silent) for name, position in self.positions.items()]

    async def settle(self) -> None:
        """Bring every view up to date."""
        await self.settle_only(*self.stores)

    async def settle_only(self, *names: str) -> None:
        """Bring some views up to date."""
        for projection in (one for one in CATALOG if one.name in names):
            head, after = self.log.head(), self.positions[projection.name]
            types = [STORED[kind][0] for kind in projection.takes]
            stored = self.log.read_all(after, types=types, limit=1_000_000, until=head)

            def listen(changes: Changes, position: int, name: str = projection.name) -> None:
                self.touched.extend(TOUCHES[name](changes) if name in TOUCHES else ())

            batch = [CODEC.recorded(one) for one in stored]
            await step(projection, self.stores[projection.name], batch, after, head, listen)
            self.positions[projection.name] = head

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """A client that sends a token, if given one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers, trust_env=False
        )


class Person:
    """Somebody with an account; each question waits for what was commanded before."""

    def __init__(self, world: World, user: dict[str, Any], token: str) -> None:
        self.world = world
        self.id: str = user["id"]
        self.handle: str = user["handle"]
        self.token = token
        self.http = world.client(token)

    async def ask(self, path: str, **query: Any) -> Any:
        """The JSON that a GET answers."""
        await self.world.settle()
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def do(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        """The JSON that a command answers."""
        answer = await self.http.request(
            method, path, json=json, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def post(self, text: str, **more: Any) -> str:
        """The id of a new post."""
        made: dict[str, str] = await self.do("POST", "/v1/posts", {"text": text, **more})
        return made["id"]


async def person(world: World, handle: str, name: str = "") -> Person:
    """Register somebody over HTTP."""
    body = {
        "handle": handle,
        "name": name or handle.title(),
        "email": f"{handle}@example.org",
        "password": PASSWORD,
    }
    async with world.client() as stranger:
        answer = await stranger.post("/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    return Person(world, answer.json(), answer.json()["token"])


def texts(posts: list[dict[str, Any]]) -> list[str]:
    """What the posts of a page say."""
    return [post["text"] for post in posts]
