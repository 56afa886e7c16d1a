"""`/v1/users/me/apps`: the apps that one let in, and how to end that."""

from collections.abc import Sequence

from fastapi import APIRouter

from api.accounts.token_store import TokenClaims
from api.http.errors import problems
from api.http.route import ApiRoute
from api.http.tokens import CurrentToken
from api.oauth.app_store import AppRecord
from api.schemas import ApiModel, Id
from api.state import CurrentState
from commands.errors import NotFound
from events.ids.snowflake import parse_decimal
from events.times import rfc3339

router = APIRouter(route_class=ApiRoute, prefix="/v1/users/me/apps", tags=["accounts"])


class LetInApp(ApiModel):
    """An app with tokens of one's own; `last_used` is at most an hour too old."""

    id: Id
    name: str
    website: str | None = None
    scopes: list[str]
    made: str
    last_used: str


class AppRemoved(ApiModel):
    """The app whose tokens were ended."""

    id: Id
    removed: bool = True


@router.get("", responses=problems(401, 403, 503))
async def list_apps(token: CurrentToken, state: CurrentState) -> list[LetInApp]:
    """The apps that one let in, the last one first."""
    by_app: dict[int, list[TokenClaims]] = {}
    for one in await state.ports.tokens.list_sessions(token.user):
        if one.app is not None:
            by_app.setdefault(one.app, []).append(one)
    apps = await state.ports.apps.find_apps(by_app.keys())
    return [_shown(apps[id], tokens) for id, tokens in by_app.items() if id in apps]


@router.delete("/{id}", responses=problems(401, 403, 404, 503))
async def remove_app(id: Id, token: CurrentToken, state: CurrentState) -> AppRemoved:
    """End all tokens of an app, everywhere within a second."""
    app = parse_decimal(id)
    if not app or not await state.ports.tokens.end_sessions(token.user, app=app):
        raise NotFound("app-not-found", "you let no such app in (any more); list them")
    return AppRemoved(id=str(app))


def _shown(app: AppRecord, tokens: Sequence[TokenClaims]) -> LetInApp:
    return LetInApp(
        id=str(app.id),
        name=app.name,
        website=app.website,
        scopes=sorted(frozenset().union(*(one.scopes for one in tokens))),
        made=rfc3339(min(one.made_ms for one in tokens)),
        last_used=rfc3339(max(one.used_ms for one in tokens)),
    )
