"""`/v1/users/me/sessions`: where one is signed in, and signing out."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.accounts.token_store import TokenClaims
from api.http.errors import problems
from api.http.route import ApiRoute
from api.http.tokens import CurrentToken
from api.schemas import ApiModel, Id
from api.state import CurrentState
from commands.errors import NotFound
from events.ids.snowflake import parse_decimal
from events.times import rfc3339

router = APIRouter(route_class=ApiRoute, prefix="/v1/users/me/sessions", tags=["accounts"])

SessionId = Annotated[
    str,
    Path(
        description="an id from the list; `current` signs out",
        json_schema_extra={"pattern": "^([0-9]{1,19}|current)$"},
    ),
]


class Session(ApiModel):
    """A token of one's own, without the token: where one is signed in, and what may be done there.

    `last_used` is at most an hour too old; `current` is true for the token of the request.
    """

    id: Id
    app: Id | None = None
    scopes: list[str]
    made: str
    last_used: str
    expires: str
    current: bool


class SessionEnded(ApiModel):
    """The session that was ended."""

    id: Id
    ended: bool = True


@router.get("", responses=problems(401, 403, 503))
async def list_sessions(token: CurrentToken, state: CurrentState) -> list[Session]:
    """Tokens of one's own that are good, the newest first."""
    sessions = await state.ports.tokens.list_sessions(token.user)
    return [_session(one, token) for one in sessions]


@router.delete("/{id}", responses=problems(401, 403, 404, 503))
async def end_session(id: SessionId, token: CurrentToken, state: CurrentState) -> SessionEnded:
    """End a session: its token is refused everywhere within a second."""
    session = token.id if id == "current" else parse_decimal(id)
    if session is None or not await state.ports.tokens.end_session(session, token.user):
        raise NotFound("session-not-found", "there is no such session (any more); list them")
    return SessionEnded(id=str(session))


def _session(claims: TokenClaims, current: TokenClaims) -> Session:
    return Session(
        id=str(claims.id),
        app=None if claims.app is None else str(claims.app),
        scopes=sorted(claims.scopes),
        made=rfc3339(claims.made_ms),
        last_used=rfc3339(claims.used_ms),
        expires=rfc3339(claims.expires_ms),
        current=claims.id == current.id,
    )
