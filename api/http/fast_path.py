"""The fast path: answers the operations that carry the load before the framework does.

A middleware that finds the operation in a dictionary, reads what it needs from the request, and
calls the function that also is the route's. Routing, dependencies and parameters take the framework
some 300 µs of CPU a request more (`docs/benchmarks.md`).

It answers plain requests alone. Where anything about one is unusual (no token, an unfit body, an
unknown parameter, a `Starling-Position`), the framework answers, so refusals are written once. And
it stands aside where an application has `dependency_overrides`. The setting `STARLING_FAST_PATH`
switches it off.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Final, TypeVar

from fastapi import FastAPI, Response
from fastapi.routing import APIRoute
from msgspec import DecodeError
from opentelemetry import trace
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accounts.access_tokens import USER_SCOPE
from api.accounts.token_store import TokenClaims
from api.clicks.click_intake import decode_batch
from api.http.errors import EXPECTED_ERRORS, failure_response
from api.http.paging import DEFAULT_LIMIT, MAX_POSTS, Page, page_address, page_request
from api.http.request import Commander, check_user_reference, parse_post_id
from api.http.tokens import read_token, require_account
from api.mastodon import timelines as mastodon_timelines
from api.mastodon.client_pages import (
    CURSORS,
    MOST_STATUSES,
    USUAL_STATUSES,
    ClientPage,
    cursor_from,
)
from api.schemas import NewComment, NewPost
from api.state import ApiState, state_of
from api.v1 import clicks, posts, relations, timelines
from api.v1.relations import POST_RELATIONS, USER_RELATIONS, Relation, change_relation
from projections.pages import PageRequest

BODY_LIMIT: Final = 64 << 10
"""Bytes of a body that is read here; the framework reads longer ones, up to its own limit."""

_PAGE_PARAMETERS: Final = frozenset({"limit", *CURSORS})

_KNOWN_QUERIES: Final = 1024
"""Queries of pages that are kept as read: most requests are for a first page."""

M = TypeVar("M", bound=BaseModel)


class NotPlain(Exception):
    """A request that the framework has to answer."""


class HotRequest:
    """A request to a hot operation. Its methods raise `NotPlain` or what the framework would."""

    def __init__(self, state: ApiState, scope: Scope, receive: Receive, subject: str) -> None:
        self.state = state
        self.subject = subject
        """What stands in the address for the `{name}` in it."""
        self._scope = scope
        self._receive = receive
        # As in Starlette's headers, the first of several counts.
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self._body: bytes | None = None
        if b"starling-position" in self._headers:
            raise NotPlain

    async def viewer(self) -> int:
        """As the dependency `Viewer`."""
        header = self._headers.get(b"authorization")
        return 0 if header is None else await self._account_user(header, None)

    def reader(self) -> Awaitable[int]:
        """As the dependency `Reader`."""
        return self._account_user(self._authorization(), USER_SCOPE)

    async def _account_user(self, header: bytes, scope: str | None) -> int:
        user = (await self._claims(header, scope)).user
        if user:
            await require_account(self.state, user)
        return user

    def _claims(self, header: bytes, scope: str | None) -> Awaitable[TokenClaims]:
        method, path = self._scope["method"], self._scope["path"]
        return read_token(self.state, header.decode("latin-1"), scope, method, path)

    def _authorization(self) -> bytes:
        header = self._headers.get(b"authorization")
        if header is None:
            raise NotPlain
        return header

    async def commander(self) -> Commander:
        """As the dependency `Commands`."""
        self.require_no_query()
        actor = (await self._claims(self._authorization(), USER_SCOPE)).user
        key = self._headers.get(b"idempotency-key")
        return Commander(self.state, actor, None if key is None else key.decode("latin-1"))

    def require_no_query(self) -> None:
        """Leave a request with parameters to the framework."""
        if self._scope["query_string"]:
            raise NotPlain

    def page(self) -> Page:
        """As the dependency `PostsPage`."""
        wanted = _posts_page(self._scope["query_string"])
        return Page(wanted, page_address(self.state.ports.base_url, self._scope))

    def client_page(self) -> ClientPage:
        """As the dependency `StatusesPage` of the Mastodon API."""
        wanted, rest = _statuses_page(self._scope["query_string"])
        return ClientPage(wanted, page_address(self.state.ports.base_url, self._scope), rest)

    async def post(self) -> int:
        """As the dependency `PostId`."""
        return parse_post_id(self.subject)

    async def user(self) -> int:
        """The user in the address of a command."""
        reference = check_user_reference(self.subject)
        return await self.state.ports.references.find_user(reference)

    def wants_no_tracking(self) -> bool:
        """Whether the sender asks for it, in either way."""
        return b"1" in (self._headers.get(b"dnt"), self._headers.get(b"sec-gpc"))

    async def read(self, model: type[M]) -> M:
        """The body."""
        return model.model_validate_json(await self.read_bytes())

    async def read_bytes(self) -> bytes:
        """The body as it came."""
        length = self._headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 9 or int(length) > BODY_LIMIT:
            raise NotPlain
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":  # the client went away
                self._body = b"".join(parts)
                raise NotPlain
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        self._body = b"".join(parts)
        return self._body

    @property
    def receive(self) -> Receive:
        """For the framework: gives the body again, if it was read."""
        if self._body is None:
            return self._receive
        body: bytes | None = self._body

        async def receive_again() -> Message:
            nonlocal body
            if body is None:
                return await self._receive()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        return receive_again


@lru_cache(_KNOWN_QUERIES)
def _posts_page(query_string: bytes) -> PageRequest:
    query = _page_query(query_string)
    limit = int(query.get("limit", DEFAULT_LIMIT))
    if limit < 1:
        raise NotPlain
    return page_request(MAX_POSTS, limit, *(query.get(name) for name in CURSORS))


@lru_cache(_KNOWN_QUERIES)
def _statuses_page(query_string: bytes) -> tuple[PageRequest, str]:
    """With the query but for the cursors."""
    query = _page_query(query_string)
    asked = query.get("limit")
    limit = USUAL_STATUSES if asked is None else min(max(int(asked), 1), MOST_STATUSES)
    wanted = PageRequest(limit, *(cursor_from(query.get(name)) for name in CURSORS))
    return wanted, "" if asked is None else f"limit={asked}"


def _page_query(query_string: bytes) -> dict[str, str]:
    """The parameters of a page, which are numbers and there once."""
    query: dict[str, str] = {}
    text = query_string.decode("latin-1")
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        if name not in _PAGE_PARAMETERS or name in query:
            raise NotPlain
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise NotPlain
        query[name] = value
    return query


Call = Callable[[], Awaitable[Response]]
"""The call of a route's function, its arguments read."""

Operation = Callable[[HotRequest], Awaitable[Call]]
"""Reads the arguments of a route's function."""


async def _home(request: HotRequest) -> Call:
    return partial(timelines.home_timeline, request.page(), await request.reader(), request.state)


async def _mastodon_home(request: HotRequest) -> Call:
    page, reader = request.client_page(), await request.reader()
    return partial(mastodon_timelines.home, page, reader, request.state)


async def _public(request: HotRequest) -> Call:
    return partial(timelines.public_timeline, request.page(), await request.viewer(), request.state)


async def _hashtag(request: HotRequest) -> Call:
    if len(request.subject) > timelines.MAX_TAG:
        raise NotPlain
    page, viewer = request.page(), await request.viewer()
    return partial(timelines.hashtag_timeline, request.subject, page, viewer, request.state)


async def _get_post(request: HotRequest) -> Call:
    request.require_no_query()
    return partial(posts.get_post, await request.post(), await request.viewer(), request.state)


async def _create_post(request: HotRequest) -> Call:
    commander = await request.commander()
    return partial(posts.create_post, await request.read(NewPost), commander, request.state)


async def _create_comment(request: HotRequest) -> Call:
    post, commander = await request.post(), await request.commander()
    new = await request.read(NewComment)
    return partial(posts.create_comment, commander, post, new, request.state)


async def _record_clicks(request: HotRequest) -> Call:
    request.require_no_query()
    viewer = await request.viewer()
    try:
        records = decode_batch(await request.read_bytes())
    except DecodeError:
        raise NotPlain from None
    untracked = request.wants_no_tracking()
    return partial(clicks.store_clicks, records, viewer, untracked, request.state)


def _change(
    relation: Relation, holds: bool, subject: Callable[[HotRequest], Awaitable[int]]
) -> Operation:
    create_command = relation.put if holds else relation.delete

    async def read_arguments(request: HotRequest) -> Call:
        commander = await request.commander()
        about = await subject(request)
        return partial(change_relation, create_command, relation.field, holds, about, commander)

    return read_arguments


_BY_ADDRESS: Final[dict[tuple[str, str], Operation]] = {
    ("GET", "/v1/timelines/home"): _home,
    ("GET", "/api/v1/timelines/home"): _mastodon_home,
    ("GET", "/v1/timelines/public"): _public,
    ("POST", "/v1/posts"): _create_post,
    ("POST", "/v1/clicks"): _record_clicks,
    ("GET", "/v1/posts/{id}"): _get_post,
    ("POST", "/v1/posts/{id}/comments"): _create_comment,
    ("GET", "/v1/hashtags/{tag}/posts"): _hashtag,
    **{
        (method, f"{path}/{relation.segment}"): _change(relation, method == "PUT", subject)
        for path, subject, hot in (
            ("/v1/posts/{id}", HotRequest.post, POST_RELATIONS),
            ("/v1/users/{ref}", HotRequest.user, USER_RELATIONS[:1]),
        )
        for relation in hot
        for method in ("PUT", "DELETE")
    },
}
"""The hot operations by method and path, as in the framework's routes."""

_ROUTES: Final = {
    (method, route.path): route
    for module in (clicks, mastodon_timelines, posts, relations, timelines)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
}
"""Their routes, for what looks at `scope["route"]`: metrics, traces."""


class FastPath:
    """The ASGI middleware of the fast path."""

    def __init__(self, app: ASGIApp, traces: bool = False) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have the framework do it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address, subject = _split_address(scope["method"], scope["path"])
        operation = _BY_ADDRESS.get(address)
        app: FastAPI = scope["app"]
        if operation is None or scope.get("root_path") or app.dependency_overrides:
            await self._app(scope, receive, send)
            return
        state = state_of(app)
        state.post_views.apply_invalidations()
        request: HotRequest | None = None
        try:
            request = HotRequest(state, scope, receive, subject)
            call = await operation(request)
        except (NotPlain, ValidationError, *EXPECTED_ERRORS):
            await self._app(scope, receive if request is None else request.receive, send)
            return
        scope["route"] = _ROUTES[address]
        if self._traces:
            span = trace.get_current_span()
            span.update_name(" ".join(address))
            span.set_attribute("http.route", address[1])
        try:
            response = await call()
        except EXPECTED_ERRORS as error:
            response = failure_response(error, scope)
        await response(scope, receive, send)


def _split_address(method: str, path: str) -> tuple[tuple[str, str], str]:
    """Method and path as in `_BY_ADDRESS`, and the segment that stands for the `{name}`."""
    segments = path.split("/")
    if len(segments) < 4 or "timelines" in segments[2:4]:
        return (method, path), ""
    name = _PARAMETERS.get(segments[2], "")
    subject, segments[3] = segments[3], name
    return (method, "/".join(segments) if subject else path), subject


_PARAMETERS: Final = {"posts": "{id}", "users": "{ref}", "hashtags": "{tag}"}
