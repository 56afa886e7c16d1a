"""Every question that the query API takes, and what two servers answer to it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import httpx

from events.envelope import RecordedEvent
from events.ids.snowflake import time_ms
from events.schema import PostCreated, UserRegistered
from infra.entrypoints.api_server import create_app
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.wiring.signing_secret import signing_secret
from tests.support.signed_tokens import SignedTokenIssuer

T = TypeVar("T")

READY_SECONDS = 60

MAX_PAGES = 40
"""Of one listing that is walked."""


@dataclass(frozen=True)
class QueryTargets:
    """What a log lets one ask about."""

    users: list[int]
    posts: list[int]
    tags: list[str]
    times: list[int]
    """Unix ms at which trends are asked for."""

    @classmethod
    def from_history(cls, history: Iterable[RecordedEvent]) -> "QueryTargets":
        """All users, posts and hashtags there ever were."""
        users, posts, tags, ids = list[int](), list[int](), set[str](), list[int]()
        for recorded in history:
            event = recorded.event
            ids.append(recorded.id)
            if isinstance(event, UserRegistered):
                users.append(event.user)
            elif isinstance(event, PostCreated):
                posts.append(event.post)
                tags.update(event.hashtags)
        ids.sort()
        times = [time_ms(id) + 1 for id in ids[:: max(1, len(ids) // 10)]] + [time_ms(ids[-1]) + 1]
        return cls(users, posts, sorted(tags), times)

    def evenly_sampled(self, most: int) -> "QueryTargets":
        """At most so many of each, evenly spread."""

        def spread(whole: list[T]) -> list[T]:
            return whole[:: max(1, len(whole) // most)]

        return QueryTargets(
            spread(self.users), spread(self.posts), spread(self.tags), spread(self.times)
        )

    def query_paths(self, viewer: int | None) -> Iterator[str]:
        """All questions that this viewer may ask; None is a stranger."""
        if viewer is not None:
            yield from ("/v1/users/me", "/v1/timelines/home")
            yield from (f"/v1/trends?limit=50&at={at}" for at in self.times)
        yield from ("/v1/timelines/public", "/v1/posts/1", "/v1/users/1")
        for user in self.users:
            yield f"/v1/users/{user}"
            yield from (f"/v1/users/{user}/{what}" for what in ("posts", "followers", "following"))
        for post in self.posts:
            yield f"/v1/posts/{post}"
            yield from (f"/v1/posts/{post}/{what}" for what in ("comments", "likes", "retweets"))
        yield from (f"/v1/hashtags/{tag}/posts" for tag in self.tags)


class QueryResponse(NamedTuple):
    """What a question was answered."""

    status: int
    body: bytes
    next: str | None
    """Where the next page is."""


class InProcessServer:
    """An API process's application, asked without a socket."""

    def __init__(self, http: httpx.AsyncClient, tokens: SignedTokenIssuer) -> None:
        self._http = http
        self._tokens = tokens

    async def get(self, path: str, viewer: int | None) -> QueryResponse:
        """The answer to one question, asked again for as long as the server says so."""
        headers = {}
        if viewer is not None:
            headers["Authorization"] = f"Bearer {self._tokens.issue(viewer)}"
        async with asyncio.timeout(READY_SECONDS):
            # The past takes a while to make on a busy machine.
            while (answer := await self._http.get(path, headers=headers)).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(float(answer.headers["Retry-After"]))
        return QueryResponse(
            answer.status_code, answer.content, answer.links.get("next", {}).get("url")
        )


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[InProcessServer]:
    """The application as the settings assemble it."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        door = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=door, base_url="http://starling") as http:
            async with asyncio.timeout(READY_SECONDS):
                while (await http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            yield InProcessServer(http, SignedTokenIssuer(signing_secret(settings), clock_ms))


async def compare_servers(
    one: InProcessServer, other: InProcessServer, asked: QueryTargets, viewers: Iterable[int | None]
) -> int:
    """Ask both everything, page by page, as each viewer; how many answers were the same: all."""
    same = 0
    for viewer in viewers:
        for first in asked.query_paths(viewer):
            path = first
            for _ in range(MAX_PAGES):
                answer = await one.get(path, viewer)
                theirs = await other.get(path, viewer)
                assert theirs == answer, f"{path} as {viewer}: {theirs} is not {answer}"
                same += 1
                if answer.next is None:
                    break
                path = answer.next
    return same
