"""A feed in a few lines, over HTTP and in this process: what `simulate` is tried on first.

It knows the addresses that the simulation uses, keeps everything in dictionaries, and can be told
to misbehave.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

RequestHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeApi:
    """`delay` seconds before each answer; `refusals` maps a path to the status it always gets;
    `hidden` keeps posts out of timelines."""

    def __init__(
        self, delay: float = 0.0, refusals: dict[str, int] | None = None, hidden: bool = False
    ) -> None:
        self.delay = delay
        self.refusals = refusals or {}
        self.hide_posts = hidden
        self.passwords: dict[str, str] = {}
        self.follows: set[tuple[str, str]] = set()
        self.posts: list[tuple[int, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.timeline_read = asyncio.Event()
        """Set once a client read a timeline."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serves on a free port; gives the address."""
        app = web.Application(middlewares=[self._misbehave])
        routes = {
            ("POST", "/v1/users"): self._sign_up,
            ("POST", "/v1/sessions"): self._sign_in,
            ("PUT", "/v1/users/{user}/follow"): self._follow,
            ("POST", "/v1/posts"): self._create_post,
            ("POST", "/v1/posts/{post}/comments"): self._create_post,
            ("PUT", "/v1/posts/{post}/like"): self._acknowledge,
            ("PUT", "/v1/posts/{post}/retweet"): self._acknowledge,
            ("GET", "/v1/timelines/home"): self._home_timeline,
        }
        for (method, path), handle in routes.items():
            app.router.add_route(method, path, handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: RequestHandler) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        await asyncio.sleep(self.delay)
        if status := self.refusals.get(request.path):
            return web.json_response({"detail": "not today"}, status=status)
        return await handler(request)

    async def _sign_up(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["handle"] in self.passwords:
            return web.json_response({"detail": "taken"}, status=409)
        self.passwords[asked["handle"]] = asked["password"]
        return self._session_response(asked["handle"], 201)

    async def _sign_in(self, request: web.Request) -> web.Response:
        asked = await request.json()
        right = self.passwords.get(asked["handle"]) == asked["password"]
        return self._session_response(asked["handle"], 200) if right else web.Response(status=401)

    def _session_response(self, handle: str, status: int) -> web.Response:
        return web.json_response({"id": handle, "token": f"token of {handle}"}, status=status)

    async def _follow(self, request: web.Request) -> web.Response:
        self.follows.add((_authenticated_handle(request), request.match_info["user"]))
        return web.json_response({"id": request.match_info["user"], "followed": True})

    async def _create_post(self, request: web.Request) -> web.Response:
        await request.json()
        self.posts.append((len(self.posts) + 1, _authenticated_handle(request)))
        return web.json_response({"id": str(len(self.posts))}, status=201)

    async def _acknowledge(self, request: web.Request) -> web.Response:
        _authenticated_handle(request)
        return web.json_response({"id": request.match_info["post"]})

    async def _home_timeline(self, request: web.Request) -> web.Response:
        self.timeline_read.set()
        reader = _authenticated_handle(request)
        newer_than = int(request.query.get("min_id", 0))
        shown: list[dict[str, Any]] = [
            {"id": str(post)}
            for post, author in self.posts
            if post > newer_than and (author == reader or (reader, author) in self.follows)
        ]
        return web.json_response(
            [] if self.hide_posts else shown[: int(request.query.get("limit", 20))]
        )


def _authenticated_handle(request: web.Request) -> str:
    kind, _, handle = request.headers["Authorization"].rpartition("token of ")
    if kind != "Bearer ":
        raise web.HTTPUnauthorized
    return handle
