"""The whole API in this process, on adapters in memory, for tests that speak HTTP to it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.datastructures import State

from api.accounts.access_tokens import AccessTokens
from api.accounts.link_tokens import LinkTokens
from api.accounts.mail_queue import DeliverMail
from api.accounts.passwords import BoundedPasswordHasher
from api.accounts.recovery import RecoveryMail
from api.accounts.signed_tokens import SignedTokens
from api.accounts.throttle import LoginThrottle
from api.app import build_app
from api.clicks.click_intake import ClickIntake
from api.ports import (
    HealthPorts,
    MediaPorts,
    MetricsAudience,
    Ports,
    ProjectionLag,
    TimeTravelBusy,
    WaitForPosition,
)
from api.search.search_follower import SearchFollower
from api.state import ApiState
from api.webhooks.webhook_store import WebhookPorts
from commands.handler import CommandHandler
from commands.references import ReferenceResolver
from events.codec import EVENT_CODEC
from events.event_types import EVENT_TYPES
from events.ids.generator import SnowflakeGenerator
from events.ids.import_ids import ImportIdGenerator
from infra.encryption.text_cipher import TextCipher
from infra.http_client.endpoint_client import EndpointClient
from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.access_tokens import SqliteTokens
from infra.sqlite.accounts import SqliteAccounts
from infra.sqlite.accounts_file import open_accounts_file
from infra.sqlite.click_log import SqliteClickLog
from infra.sqlite.media_records import SqliteMediaRecords
from infra.sqlite.oauth_apps import SqliteApps
from infra.sqlite.rate_limits import SqliteRateLimits
from infra.sqlite.search_index import SqliteSearchIndex
from infra.sqlite.text_keys import SqliteTextKeys
from infra.sqlite.webhooks import SqliteWebhooks
from projections.home.home_timeline import HomeTimeline
from projections.registry import ALL_PROJECTIONS, INVALIDATIONS
from streams.projecting.apply_batch import project_and_apply
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.time_travel import PointInTime, project_point_in_time
from tests.support.documented_answers import check_answer
from tests.support.manual_clock import ManualClock
from tests.support.media import ConverterInProcess, MediaInMemory
from tests.support.no_rings import NoRings
from tests.support.read_only_admin import ReadOnlyAdmin
from tests.support.shared_application import shared_application
from tests.support.signed_tokens import SignedTokenIssuer
from tests.support.sparse_log import SparseLog

START_MS = 1_770_000_000_000
"""Unix ms at which each world begins."""

PASSWORD = "correct horse"


async def no_outdated_views() -> Mapping[str, int]:
    """The views are of the program that made them."""
    return {}


WITH_AND_WITHOUT_FAST_PATH = pytest.mark.parametrize(
    "world", [True, False], ids=["fast-path", "framework"], indirect=True
)
"""For tests with the fixture `world`: hot operations answered by the fast path, and by the
framework. Laws compare the two on random requests as well."""


class ApiWorld:
    """A log, its views and the API over both. Time stands still unless a test moves it.

    Views are brought up to date when a request waits for them, or by `project_all`.
    """

    def __init__(
        self, *, fast_path: bool = True, metrics_audience: MetricsAudience = "local",
        deliver_mail: DeliverMail | None = None,
    ) -> None:  # fmt: skip
        self.clock = ManualClock(START_MS)
        self.log = SparseLog()
        tables = {p.name: tables_with_dead_letters(p) for p in ALL_PROJECTIONS}
        self.stores = {name: MemoryReadStore(found) for name, found in tables.items()}
        self.positions = dict.fromkeys(self.stores, 0)
        self.heartbeat_age = 0.0
        """Seconds since the last heartbeat of the projector."""
        self.time_travel_busy = False
        """Whether time travel refuses requests because it has too many."""
        self.pending_invalidations: list[tuple[int, int]] = []
        self.wait_for: WaitForPosition = self.project_and_compare
        """What waiting for views does; a test may put something else here."""
        new_id = SnowflakeGenerator(1, self.clock, self.clock.sleep, START_MS - 1).next_id
        self.tokens = SignedTokenIssuer(b"the secret of a test", self.clock)
        """Makes tokens at once; the API takes them for those of before tokens were stored."""
        self.admin = ReadOnlyAdmin(self.log, self)
        cipher = TextCipher(SqliteTextKeys(":memory:", self.log.identity))
        self.ports = Ports(
            log=self.log,
            handler=CommandHandler(self.log, new_id, cipher.sealing, cipher.open_text),
            references=ReferenceResolver(self.log),
            views=self,
            time_travel=self,
            home=HomeTimeline(lambda: self.stores["timeline"], NoRings(), self.clock),
            **self._ports_beside_the_log(cipher, deliver_mail, metrics_audience),
            clock_ms=self.clock,
            new_id=new_id,
            open_import_ids=self.lease_import_ids,
            invalidations=self.take_invalidations,
            wait_for=lambda names, position, timeout: self.wait_for(names, position, timeout),
            admin=self.admin,
            open_text=cipher.open_text,
            base_url="http://test",
        )
        self.app = copy(shared_application(fast_path))
        self.app.state = State({"api": ApiState(self.ports)})

    def make_own_application(self) -> FastAPI:
        """An application that a test may change or serve, with routes of its own."""
        self.app = build_app(lambda: nullcontext(self.ports))
        self.app.state.api = ApiState(self.ports)
        return self.app

    def open_tokens(self) -> AccessTokens:
        """The tokens, as one more process would have them."""
        signed = SignedTokens(b"the secret of a test")
        return AccessTokens(self.token_store, self.clock, self.clock.monotonic, signed)

    def _ports_beside_the_log(
        self,
        cipher: TextCipher,
        deliver_mail: DeliverMail | None,
        metrics_audience: MetricsAudience,
    ) -> dict[str, Any]:
        accounts_file = open_accounts_file(":memory:")
        self.accounts = SqliteAccounts(accounts_file)
        self.token_store = SqliteTokens(accounts_file)
        self.apps = SqliteApps(accounts_file)
        self.access_tokens = self.open_tokens()
        self.media_records = SqliteMediaRecords(":memory:")
        self.media_store = MediaInMemory()
        index = SqliteSearchIndex(":memory:")
        self.search = SearchFollower(self.log, index, cipher.open_text)
        self.click_log = SqliteClickLog(":memory:")
        return {
            "accounts": self.accounts,
            "tokens": self.access_tokens,
            "apps": self.apps,
            "clicks": ClickIntake(
                self.click_log, self.click_log, b"the key of sessions", self.clock
            ),
            "search": self.search,
            "webhooks": WebhookPorts(SqliteWebhooks(":memory:"), EndpointClient(True).post, True),
            "throttle": LoginThrottle(SqliteRateLimits(":memory:")),
            "recovery_mail": RecoveryMail(LinkTokens(b"a secret", self.clock), deliver_mail),
            "media": MediaPorts(self.media_store, self.media_records, ConverterInProcess()),
            "health": HealthPorts(
                self.projection_lags,
                no_outdated_views,
                ready_within=10,
                metrics_audience=metrics_audience,
            ),
            "passwords": BoundedPasswordHasher(
                PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
            ),
        }

    def current_store(self, projection: str) -> MemoryReadStore:
        """As `CurrentStores.current_store`."""
        return self.stores[projection]

    def known_position(self, projection: str) -> int:
        """As `CurrentStores.known_position`."""
        return self.positions[projection]

    async def stores_at(
        self, projections: Collection[str], ms: int, reader: int
    ) -> Mapping[str, MemoryReadStore]:
        """As `TimeTravel.stores_at`."""
        if self.time_travel_busy:
            raise TimeTravelBusy
        stores = {}
        for projection in (one for one in ALL_PROJECTIONS if one.name in projections):
            store = stores[projection.name] = MemoryReadStore(tables_with_dead_letters(projection))
            await project_point_in_time(
                self.log, projection, store, PointInTime.from_unix_ms(ms, self.log.head())
            )
        return stores

    @contextmanager
    def lease_import_ids(self) -> Iterator[Any]:
        """As `Ports.open_import_ids`."""
        yield ImportIdGenerator([1008], self.log.ids_between).id_at

    def take_invalidations(self) -> Sequence[tuple[int, int]]:
        """As `Ports.invalidations`."""
        touched, self.pending_invalidations = self.pending_invalidations, []
        return touched

    async def project_and_compare(
        self, projections: Collection[str], position: int, timeout: float
    ) -> bool:
        """As `Ports.wait_for`."""
        await self.project_all()
        return all(self.positions[name] >= position for name in projections)

    async def projection_lags(self) -> list[ProjectionLag]:
        """As `HealthPorts.projection_lags`."""
        head = self.log.head()
        return [
            ProjectionLag(
                name,
                position,
                head,
                self.heartbeat_age,
                position_step=self.log.features.position_step,
            )
            for name, position in self.positions.items()
        ]

    async def project_all(self) -> None:
        """Bring every view up to date."""
        await self.search.catch_up()
        await self.project_only(*self.stores)

    async def project_only(self, *names: str) -> None:
        """Bring some views up to date."""
        for projection in (one for one in ALL_PROJECTIONS if one.name in names):
            head, after = self.log.head(), self.positions[projection.name]
            types = [EVENT_TYPES[kind][0] for kind in projection.event_types]
            stored = self.log.read_all(after, types=types, limit=1_000_000, until=head)
            batch = [EVENT_CODEC.decode_stored(one) for one in stored]
            changes = await project_and_apply(
                projection, self.stores[projection.name], batch, after, head
            )
            if changes is not None and projection.name in INVALIDATIONS:
                self.pending_invalidations.extend(INVALIDATIONS[projection.name](changes))
            self.positions[projection.name] = head

    def new_client(self, token: str | None = None) -> httpx.AsyncClient:
        """A client that sends a token, if given one, and fails at answers that Mastodon's clients
        would not understand by the document of theirs.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://test",
            headers=headers,
            event_hooks={"response": [check_answer]},
            trust_env=False,
        )


class SignedInUser:
    """A user with a client of its own; each GET sees all commands sent before it."""

    def __init__(self, world: ApiWorld, user: dict[str, Any], token: str) -> None:
        self.world = world
        self.id: str = user["id"]
        self.handle: str = user["handle"]
        self.token = token
        self.http = world.new_client(token)

    async def get_json(self, path: str, **query: Any) -> Any:
        """The JSON that a GET answers."""
        await self.world.project_all()
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send_command(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        """The JSON that a command answers."""
        answer = await self.http.request(
            method, path, json=json, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def create_post(self, text: str, **more: Any) -> str:
        """The id of a new post."""
        made: dict[str, str] = await self.send_command("POST", "/v1/posts", {"text": text, **more})
        return made["id"]


async def register_user(world: ApiWorld, handle: str, name: str = "") -> SignedInUser:
    """Register a user over HTTP."""
    body = {
        "handle": handle,
        "name": name or handle.title(),
        "email": f"{handle}@example.org",
        "password": PASSWORD,
    }
    async with world.new_client() as stranger:
        answer = await stranger.post("/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    return SignedInUser(world, answer.json(), answer.json()["token"])


def post_texts(posts: list[dict[str, Any]]) -> list[str]:
    """What the posts of a page say."""
    return [post["text"] for post in posts]
