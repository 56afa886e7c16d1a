"""Who asks: dependencies that read a request's access token, and check what it allows."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPBearer, SecurityScopes

from api.accounts.access_tokens import OPERATOR_SCOPE, USER_SCOPE
from api.accounts.app_scopes import covers_scope, covers_user_scope, wanted_scope
from api.accounts.errors import ExpiredToken, InvalidToken
from api.accounts.token_store import TokenClaims
from api.http.errors import RequestRefused, token_missing, unauthorized
from api.state import ApiState, CurrentState, state_of
from commands.rules import SUSPENSION_REASON, account_suspended
from commands.stream_reader import read_state
from events.streams import user_stream

_BEARER: Final = HTTPBearer(
    scheme_name="token",
    description="The `token` of a registration, a sign-in, or of `starling token`.",
    auto_error=False,
)
"""Documents where the token goes; `read_token` reads it, and says what is wrong with a header."""


async def read_token(
    state: ApiState, header: str, scope: str | None, method: str, path: str
) -> TokenClaims:
    """What the token of an `Authorization` header says; it allows the operation, if that needs a
    scope.

    Raises `RequestRefused` (401; 403 where it lacks the scope), `InvalidToken`, `ExpiredToken`,
    `AccountsUnavailable`.
    """
    sent = sent_token(header)
    claims = state.ports.tokens.cached_claims(sent)
    if claims is None:
        claims = await state.ports.tokens.read_claims(sent)
    if scope is None:
        # It is open to strangers, but the answer would be that to the app's user.
        if claims.app is not None and (wanted := wanted_scope(method, path)) is not None:
            require_app_scope(claims, wanted)
        return claims
    if scope not in claims.scopes and not (
        scope == USER_SCOPE and covers_user_scope(claims.scopes, method, path)
    ):
        require_scope(claims, scope)
    if not claims.user:
        message = "this needs a token of a user, not of an app alone"
        raise RequestRefused(422, "user-required", message)
    return claims


def sent_token(header: str) -> bytes:
    """The token in an `Authorization` header. Raises `RequestRefused` (401)."""
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer":
        message = "the header must read 'Authorization: Bearer TOKEN'"
        raise unauthorized("token-invalid", message)
    return token.strip().encode("latin-1")


def has_app_scope(claims: TokenClaims, wanted: str) -> bool:
    """Whether a token is of no app, or its scopes cover this one."""
    return claims.app is None or covers_scope(claims.scopes, wanted)


def require_app_scope(claims: TokenClaims, wanted: str) -> None:
    """Refuse an app's token whose scopes don't cover this one. Raises `RequestRefused` (403)."""
    if not has_app_scope(claims, wanted):
        require_scope(claims, wanted)


def token_check(
    state: ApiState, header: str, scope: str, path: str
) -> Callable[[], Awaitable[bool]]:
    """What says whether the token of an `Authorization` header still holds, while what was read
    with it goes on.

    It raises `AccountError` where that can't be known.
    """

    async def holds() -> bool:
        try:
            await read_token(state, header, scope, "GET", path)
        except (RequestRefused, InvalidToken, ExpiredToken):
            return False
        return True

    return holds


def require_scope(claims: TokenClaims, *scopes: str) -> None:
    """Refuse a token that has none of the scopes. Raises `RequestRefused` (403)."""
    if claims.scopes.isdisjoint(scopes):
        wanted = " or ".join(f"'{scope}'" for scope in scopes)
        raise RequestRefused(
            403,
            "scope-missing",
            f"this needs a token with the scope {wanted}: an operator makes one "
            f"with 'starling token {claims.user} --scope {scopes[0]}'",
            {"www-authenticate": 'Bearer error="insufficient_scope"'},
        )


async def require_account(state: ApiState, user: int) -> None:
    """Refuse the tokens of a deleted account, and of a suspended one. Raises `RequestRefused` (401)
    and `NotAllowed`.
    """
    if await state.post_views.is_active(user):
        return
    if await state.post_views.is_deleted(user):
        raise unauthorized("account-gone", "the account was deleted: its tokens are worthless")
    if await state.post_views.is_suspended(user):
        stream = user_stream(user)
        raise account_suspended(await read_state(state.ports.log, stream, SUSPENSION_REASON))


async def token_claims(
    request: Request,
    state: CurrentState,
    scopes: SecurityScopes,
    documented: Annotated[object, Security(_BEARER)],
) -> TokenClaims | None:
    """What the request's token says; None without one. The scope that a route names is needed."""
    header = request.headers.get("authorization")
    scope = scopes.scopes[0] if scopes.scopes else None
    if header is not None:
        return await read_token(state, header, scope, request.method, request.url.path)
    if scope is not None:
        raise token_missing()
    return None


async def _optional_viewer(
    state: CurrentState, claims: Annotated[TokenClaims | None, Security(token_claims)]
) -> int:
    if claims is None or not claims.user:
        return 0
    await require_account(state, claims.user)
    return claims.user


async def _command_actor(claims: Annotated[TokenClaims, Security(token_claims)]) -> int:
    return claims.user


async def require_sent_token(request: Request, dependant: Dependant) -> None:
    """Refuse what the token dependencies of a route refuse, before another refusal tells a
    stranger about the request. Raises as they do.
    """
    state = state_of(request.app)
    for dependency in dependant.dependencies:
        if dependency.call not in (_optional_viewer, token_claims):
            await require_sent_token(request, dependency)
            continue
        inherited, own = dependency.parent_oauth_scopes, dependency.own_oauth_scopes
        scopes = SecurityScopes([*(inherited or ()), *(own or ())])
        claims = await token_claims(request, state, scopes, None)
        if dependency.call is _optional_viewer:
            await _optional_viewer(state, claims)


CurrentToken = Annotated[TokenClaims, Security(token_claims, scopes=[USER_SCOPE])]
"""The token of the signed-in user who asks."""

Viewer = Annotated[int, Security(_optional_viewer)]
"""The signed-in user for whom the response is; 0 without a token."""

Reader = Annotated[int, Security(_optional_viewer, scopes=[USER_SCOPE])]
"""The signed-in user who reads what only signed-in users can."""

Actor = Annotated[int, Security(_command_actor, scopes=[USER_SCOPE])]
"""The signed-in user who gives a command, which learns from the log itself whether the account was
deleted.
"""


Operator = Annotated[int, Security(_command_actor, scopes=[OPERATOR_SCOPE])]
"""The operator who gives a command."""


def requires_scope(scope: str) -> Any:
    """The dependency of routes that need a token with a scope."""
    return Security(_optional_viewer, scopes=[scope])
