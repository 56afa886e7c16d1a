"""What routes ask of a request: dependencies for ids in addresses, fresh views and commands."""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Header, Path, Query, Response
from pydantic import BaseModel

from api.accounts.access_tokens import ANALYST_SCOPE, USER_SCOPE
from api.accounts.token_store import TokenClaims
from api.http.errors import RETRY_AFTER, RequestRefused, problems, token_missing, unauthorized
from api.http.ready_json import ReadyJson
from api.http.tokens import Actor, Viewer, require_account, require_scope, token_claims
from api.ports import VIEW_WAIT_SECONDS
from api.state import ApiState, CurrentState
from api.views.posts import PageEntry, SinglePost
from commands import idempotency
from commands.decider import Command
from commands.errors import InvalidInput, NotAllowed
from commands.event_filter_parser import checked_time
from commands.request import CommandOutcome, CommandRequest
from commands.rules import post_not_found, user_not_found
from events.ids.snowflake import parse_decimal
from events.log import run_read

_ACTOR_CODES: Final = ("account-deleted", "account-unknown")
"""Refusals of a command because of its actor's account: over HTTP, the token is worthless."""

_ID_SCHEMA: Final = {"pattern": "^[0-9]{1,19}$"}
_REF_SCHEMA: Final = {"pattern": "^([0-9]{1,19}|@[A-Za-z0-9_]{2,30}|me)$"}


def json_response(
    model: BaseModel | bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A response whose body is a model, or JSON already."""
    body = model if isinstance(model, bytes) else model.model_dump_json(exclude_none=True).encode()
    return ReadyJson(body, status, headers)


# ---- ids and times in addresses ----


def parse_post_id(text: str) -> int:
    """The id of a post in an address. Raises `NotFound` for a text that is no id."""
    post = parse_decimal(text)
    if not post:
        raise post_not_found(text)
    return post


def check_user_reference(ref: str) -> str:
    """An id or `@handle` in an address. Raises `InvalidInput` for anything else."""
    if not ref.startswith("@") and not parse_decimal(ref):
        raise InvalidInput("reference-invalid", f"{ref!r} names no user; give an id or an @handle")
    return ref


async def post_from_path(id: Annotated[str, Path(json_schema_extra={**_ID_SCHEMA})]) -> int:
    """The dependency `PostId`."""
    return parse_post_id(id)


async def user_ref_from_path(
    ref: Annotated[
        str,
        Path(description="an id, an @handle, or `me`", json_schema_extra={**_REF_SCHEMA}),
    ],
    claims: Annotated[TokenClaims | None, Depends(token_claims)],
) -> str:
    """The dependency `UserReference`: `me` is the signed-in user's id.

    Raises `InvalidInput`, and `RequestRefused` (401) for `me` without a token.
    """
    if ref != "me":
        return check_user_reference(ref)
    if claims is None:
        raise token_missing()
    return str(claims.user)


class PastTime(NamedTuple):
    """A time that is asked for, in Unix ms, and the user who asks."""

    ms: int
    reader: int


async def time_from_query(
    state: CurrentState,
    claims: Annotated[TokenClaims | None, Depends(token_claims)],
    at: Annotated[
        str | None,
        Query(
            description="as of then: RFC 3339, or an id; needs a token with the scope `user` or "
            "`analyst`, and may take long"
        ),
    ] = None,
) -> PastTime | None:
    """The `at` of a request; None where it is about now.

    Making views of the past is work, so strangers can't ask for it. Raises `InvalidInput`,
    `RequestRefused` (401, 403).
    """
    if at is None:
        return None
    if claims is None:
        raise token_missing()
    require_scope(claims, USER_SCOPE, ANALYST_SCOPE)
    await require_account(state, claims.user)
    ms = checked_time(at)
    if ms > state.ports.clock_ms():
        raise InvalidInput("time-in-future", f"{at} is in the future; `at` asks for what was")
    return PastTime(ms, claims.user)


PostId = Annotated[int, Depends(post_from_path)]
UserReference = Annotated[str, Depends(user_ref_from_path)]
AtTime = Annotated[PastTime | None, Depends(time_from_query)]


# ---- what a reader sees ----


async def blocked_users(state: ApiState, viewer: int) -> frozenset[int]:
    """Users whom the reader blocks or who block the reader."""
    return (await state.ports.home.viewer_context(viewer)).blocked if viewer else frozenset()


async def hidden_users(state: ApiState, viewer: int) -> frozenset[int]:
    """Users whose posts the reader doesn't see in lists: blocked, blocking and muted ones."""
    return (await state.ports.home.viewer_context(viewer)).hidden if viewer else frozenset()


async def unblocked_posts(state: ApiState, ids: Iterable[int], viewer: int) -> Sequence[PageEntry]:
    """Those of the posts that there are and whose authors neither block the reader nor are blocked
    by the reader."""
    blocked = await blocked_users(state, viewer)
    return await state.post_views.exclude_authors([SinglePost(id) for id in ids], blocked)


async def require_unblocked(state: ApiState, post: int, viewer: int) -> None:
    """Raises `NotFound` where the reader and the post's author block one another, as in lists,
    whichever of them did.
    """
    blocked = await blocked_users(state, viewer)
    if blocked and not await state.post_views.exclude_authors([SinglePost(post)], blocked):
        raise post_not_found(post)


async def _visible_user(state: CurrentState, ref: UserReference) -> int:
    """The user in the address. Raises `NotFound` where there is no account (any more)."""
    user = await state.user_views.resolve(ref)
    if not await state.post_views.is_active(user):
        raise user_not_found(user)
    return user


async def _visible_post(state: CurrentState, post: PostId, viewer: Viewer) -> int:
    """The post in the address. Raises `NotFound` where the reader can't see it."""
    if not await state.post_views.post_exists(post):
        raise post_not_found(post)
    await require_unblocked(state, post, viewer)
    return post


VisibleUser = Annotated[int, Depends(_visible_user)]
VisiblePost = Annotated[int, Depends(_visible_post)]


# ---- views as new as a reader's own writes ----


class _FreshViews:
    """The dependency of routes that read views: they have seen the request's position."""

    def __init__(self, projections: tuple[str, ...]) -> None:
        self._projections = projections

    async def __call__(
        self,
        state: CurrentState,
        starling_position: Annotated[
            str | None,
            Header(
                alias="Starling-Position",
                description="The header of a command's response: waits until its effect can be "
                "seen, 2 s at most, then answers 503",
            ),
        ] = None,
    ) -> None:
        if starling_position is None:
            return
        position = parse_decimal(starling_position.strip())
        if position is None:
            message = "`Starling-Position` must be what a command answered in that header"
            raise RequestRefused(422, "invalid-position", message)
        ports = state.ports
        behind = any(ports.views.known_position(name) < position for name in self._projections)
        # The log itself is asked: another API process may just have acknowledged the position.
        if behind and position > await run_read(ports.log, ports.log.head):
            message = "`Starling-Position` is beyond the log: send what a command here answered"
            raise RequestRefused(422, "position-beyond-log", message)
        if not await ports.wait_for(self._projections, position, VIEW_WAIT_SECONDS):
            message = "the views are not there yet: ask again, or without `Starling-Position`"
            raise RequestRefused(503, "views-behind", message, RETRY_AFTER)
        # What came into the views meanwhile makes more of the caches old.
        state.post_views.apply_invalidations()


def fresh_views(*projections: str) -> Any:
    """The dependency of a route that reads these views: waits for the `Starling-Position`."""
    return Depends(_FreshViews(projections))


QUERY_PROBLEMS: Final = problems(401, 422, 503)
"""How every query may be refused."""

# ---- commands ----

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key does the same command once, however often it is sent",
        json_schema_extra={"minLength": 1, "maxLength": 200},
    ),
]


class Commander:
    """Runs commands of the signed-in user; `key` is the request's `Idempotency-Key`."""

    def __init__(self, state: ApiState, actor: int, key: str | None) -> None:
        self._state = state
        self.actor = actor
        self._key = key

    async def run(self, command: Command, media: Collection[str] = ()) -> CommandOutcome:
        """Run a command, once for each `Idempotency-Key`. It shows the uploads `media`."""
        key = (
            idempotency.key_for_user(self.actor, self._key, command)
            if self._key is not None
            else None
        )
        try:
            request = CommandRequest(command, self.actor, key)
            if not media:
                return await self._state.ports.handler.handle(request)
            return await self._show(request, media)
        except NotAllowed as error:
            if error.code in _ACTOR_CODES:
                raise unauthorized(error.code, str(error)) from error
            raise

    def check_key(self) -> None:
        """Refuse a wrong `Idempotency-Key` where there is nothing to do. Raises `InvalidInput`."""
        if self._key is not None:
            idempotency.check_key(self._key)

    async def _show(self, request: CommandRequest, media: Collection[str]) -> CommandOutcome:
        library = self._state.media
        uploads = await library.find_uploads(self.actor, media)
        outcome = await self._state.ports.handler.handle(request._replace(uploads=uploads))
        if outcome.changed:
            await library.mark_shown(self.actor, uploads)
        return outcome


async def _commander(state: CurrentState, actor: Actor, key: KeyHeader = None) -> Commander:
    return Commander(state, actor, key)


Commands = Annotated[Commander, Depends(_commander)]


def command_problems(*statuses: int, success: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a command's route."""
    position = {"schema": {"type": "string"}, "description": "for queries that must see this"}
    return {success: {"headers": {"Starling-Position": position}}} | problems(
        *sorted({401, 403, 422, 503, *statuses})
    )


def position_header(outcome: CommandOutcome) -> dict[str, str]:
    """The header by which a client reads its own write."""
    return {"starling-position": str(outcome.position)}
