"""What the resources share: commands, pages, and the users and posts that addresses name."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from api.http import paging
from api.http.errors import Headers, unauthorized
from api.http.messages import HttpRequest, HttpResponse, json_response
from api.ports import Ports
from api.schemas import Done, encode_json
from api.views.posts import PageEntry, PostViews, SinglePost
from api.views.users import UserViews, no_such_user
from commands import idempotency
from commands.decider import Command
from commands.errors import InvalidInput, NotAllowed, NotFound
from commands.filter_parser import checked_time
from commands.request import CommandOutcome, CommandRequest
from events.ids.snowflake import LAST_ID
from projections.pages import PageRequest
from projections.store import ReadStore

POST_PAGE_VIEWS: Final = ("timeline", "posts", "profiles")
"""The views that a page of posts is made from."""

UserQuery = Callable[[ReadStore, int, PageRequest], Awaitable[Sequence[tuple[int, int]]]]
"""Reads a page of (id in the list, user) from a store, about a user or a post."""

_ACTOR_CODES: Final = ("account-deleted", "account-unknown")
"""Refusals of a command because of its actor's account: over HTTP, the token is worthless."""


class Resource:
    """A group of addresses with their handlers; subclasses list them in `routes`."""

    def __init__(self, ports: Ports, post_views: PostViews, user_views: UserViews) -> None:
        self._ports = ports
        self._post_views = post_views
        self._user_views = user_views

    async def run_command(self, request: HttpRequest, command: Command) -> CommandOutcome:
        """Run a command of the signed-in user, once for each `Idempotency-Key`."""
        actor = request.actor
        given = idempotency_key(request)
        key = idempotency.key_for_user(actor, given, command) if given is not None else None
        try:
            return await self._ports.handler.handle(CommandRequest(command, actor, key))
        except NotAllowed as error:
            if error.code in _ACTOR_CODES:
                raise unauthorized(error.code, str(error)) from error
            raise

    async def visible_user(self, request: HttpRequest) -> int:
        """The user in the address. Raises `NotFound` where there is no account (any more)."""
        user = await self._user_views.resolve(user_ref_from_path(request))
        if not await self._post_views.is_active(user):
            raise no_such_user(user)
        return user

    async def visible_post(self, request: HttpRequest) -> int:
        """The post in the address. Raises `NotFound` where the reader can't see it."""
        post = post_from_path(request)
        if not await self._post_views.post_exists(post):
            raise no_such_post(request.params[0])
        await self.require_unblocked(request, post)
        return post

    async def require_unblocked(self, request: HttpRequest, post: int) -> None:
        """Raises `NotFound` where the reader and the post's author block one another, as in lists,
        whichever of them did.
        """
        blocked = await self.blocked_users(request)
        if blocked and not await self._post_views.exclude_authors([SinglePost(post)], blocked):
            raise no_such_post(request.params[0])

    async def blocked_users(self, request: HttpRequest) -> frozenset[int]:
        """Users whom the reader blocks or who block the reader."""
        if not request.viewer:
            return frozenset()
        return (await self._ports.home.viewer_context(request.viewer)).blocked

    async def hidden_users(self, request: HttpRequest) -> frozenset[int]:
        """Users whose posts the reader doesn't see in lists: blocked, blocking and muted ones."""
        if not request.viewer:
            return frozenset()
        return (await self._ports.home.viewer_context(request.viewer)).hidden

    async def users_page(
        self, request: HttpRequest, view: str, query: UserQuery, subject: int
    ) -> HttpResponse:
        """A page of users that a query reads from a view, about a user or a post."""
        page = paging.page_from_query(request, paging.MAX_USERS)
        rows = await query(self._ports.views.current_store(view), subject, page)
        body = await self._user_views.render_page([user for _, user in rows], request.viewer)
        return json_response(
            body, headers=paging.link_header(request, page, [id for id, _ in rows])
        )

    async def posts_page(
        self,
        request: HttpRequest,
        page: PageRequest,
        entries: Sequence[PageEntry],
        ids: Sequence[int],
    ) -> HttpResponse:
        """A page of posts; `ids` are those of the list, newest first, and make the links."""
        body = await self._post_views.render_page(entries, request.viewer)
        return json_response(body, headers=paging.link_header(request, page, ids))


def time_from_query(request: HttpRequest, ports: Ports) -> int | None:
    """The `at` of a request in Unix ms; None where it is about now. Raises `InvalidInput`."""
    text = request.query.get("at")
    if text is None:
        return None
    ms = checked_time(text)
    if ms > ports.clock_ms():
        raise InvalidInput("time-in-future", f"{text} is in the future; `at` asks for what was")
    return ms


def idempotency_key(request: HttpRequest) -> str | None:
    """The request's `Idempotency-Key`, if it has one."""
    value = request.header(b"idempotency-key")
    return value.decode("latin-1") if value is not None else None


def position_header(outcome: CommandOutcome) -> Headers:
    """The header by which a client reads its own write."""
    return [(b"starling-position", b"%d" % outcome.position)]


def done_response(done: Done, outcome: CommandOutcome) -> HttpResponse:
    """The response to a command that created nothing."""
    return json_response(encode_json(done), 200, position_header(outcome))


def _parse_id(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LAST_ID:
        return int(text)
    return None


def post_from_path(request: HttpRequest) -> int:
    """The id of the post in the address. Raises `NotFound` for a text that is no id."""
    post = _parse_id(request.params[0])
    if not post:
        raise no_such_post(request.params[0])
    return post


def user_ref_from_path(request: HttpRequest) -> str:
    """The id or `@handle` in the address. Raises `InvalidInput` for anything else."""
    ref = request.params[0]
    if not ref.startswith("@") and not _parse_id(ref):
        raise InvalidInput("reference-invalid", f"{ref!r} names no user; give an id or an @handle")
    return ref


def no_such_post(ref: str) -> NotFound:
    """The refusal of a post that does not exist, or that the reader can't see."""
    return NotFound("post-not-found", f"there is no post {ref} (any more); check the id")
