"""A feed in a few lines, over HTTP and in this process: what `simulate` is tried on first.

It knows the addresses that the simulation uses, keeps everything in dictionaries, and can be told
to misbehave.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeFeed:
    """`delay` seconds before each answer; `refusals` maps a path to the status it always gets;
    `hidden` keeps posts out of timelines."""

    def __init__(
        self, delay: float = 0.0, refusals: dict[str, int] | None = None, hidden: bool = False
    ) -> None:
        self.delay = delay
        self.refusals = refusals or {}
        self.hidden = hidden
        self.passwords: dict[str, str] = {}
        self.follows: set[tuple[str, str]] = set()
        self.posts: list[tuple[int, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.read = asyncio.Event()
        """Set once somebody read a timeline."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serves on a free port; gives the address."""
        app = web.Application(middlewares=[self._troubles])
        routes = {
            ("POST", "/v1/users"): self._sign_up,
            ("POST", "/v1/sessions"): self._sign_in,
            ("PUT", "/v1/users/{user}/follow"): self._follow,
            ("POST", "/v1/posts"): self._post,
            ("POST", "/v1/posts/{post}/comments"): self._post,
            ("PUT", "/v1/posts/{post}/like"): self._done,
            ("PUT", "/v1/posts/{post}/retweet"): self._done,
            ("GET", "/v1/timelines/home"): self._home,
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
    async def _troubles(self, request: web.Request, handler: Handle) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        await asyncio.sleep(self.delay)
        if status := self.refusals.get(request.path):
            return web.json_response({"detail": "not today"}, status=status)
        return await handler(request)

    async def _sign_up(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["handle"] in self.passwords:
            return web.json_response({"detail": "taken"}, status=409)
        self.passwords[asked["handle"]] = asked["password"]
        return self._signed_in(asked["handle"], 201)

    async def _sign_in(self, request: web.Request) -> web.Response:
        asked = await request.json()
        right = self.passwords.get(asked["handle"]) == asked["password"]
        return self._signed_in(asked["handle"], 200) if right else web.Response(status=401)

    def _signed_in(self, handle: str, status: int) -> web.Response:
        return web.json_response({"id": handle, "token": f"token of {handle}"}, status=status)

    async def _follow(self, request: web.Request) -> web.Response:
        self.follows.add((_asker(request), request.match_info["user"]))
        return web.json_response({"id": request.match_info["user"], "followed": True})

    async def _post(self, request: web.Request) -> web.Response:
        await request.json()
        self.posts.append((len(self.posts) + 1, _asker(request)))
        return web.json_response({"id": str(len(self.posts))}, status=201)

    async def _done(self, request: web.Request) -> web.Response:
        _asker(request)
        return web.json_response({"id": request.match_info["post"]})

    async def _home(self, request: web.Request) -> web.Response:
        self.read.set()
        reader = _asker(request)
        newer_than = int(request.query.get("min_id", 0))
        shown: list[dict[str, Any]] = [
            {"id": str(post)}
            for post, author in self.posts
            if post > newer_than and (author == reader or (reader, author) in self.follows)
        ]
        return web.json_response(
            [] if self.hidden else shown[: int(request.query.get("limit", 20))]
        )


def _asker(request: web.Request) -> str:
    kind, _, handle = request.headers["Authorization"].rpartition("token of ")
    if kind != "Bearer ":
        raise web.HTTPUnauthorized
    return handle
