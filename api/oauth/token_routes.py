"""`/oauth/token`, `/oauth/revoke`, `/oauth/userinfo`, and what the server says of itself."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, NotRequired, TypedDict

from fastapi import APIRouter, Request
from msgspec import Meta

from api.accounts.access_tokens import TOKEN_LIFE_DAYS
from api.accounts.app_scopes import APP_SCOPES
from api.accounts.errors import ExpiredToken, InvalidToken, WrongCredentials
from api.http.callers import Caller
from api.http.tokens import Reader
from api.mastodon.entities import EmptyEntity, EntityResponse, Url, about, entity
from api.mastodon.parameters import documented_by
from api.oauth.app_store import AppRecord, secret_digest
from api.oauth.client_parameters import (
    ReturnedToken,
    TokenRequest,
    find_app,
    read_credentials,
)
from api.oauth.consent_page import CONSENT_PATH
from api.oauth.grants import (
    AUTH_METHODS,
    GRANT_TYPES,
    ClientRequest,
    Grant,
    OAuthAnswer,
    OAuthServer,
)
from api.state import ApiState, CurrentState
from commands.errors import NotAllowed

APP_TOKEN_DAYS: Final = 3650
"""How long a user's token of an app is good: clients don't know how to get another one."""

_USED_CODE: Final = {
    "error": "invalid_grant",
    "error_description": "The code is unknown, was used, has expired, or is of another app",
}
_WRONG_PASSWORD: Final = {
    "error": "invalid_grant",
    "error_description": "No account has this username and this password",
}

router = APIRouter(tags=["oauth"])


class TokenEntity(TypedDict):
    """A token: `Authorization: Bearer ACCESS_TOKEN`."""

    access_token: str
    token_type: Annotated[str, Meta(extra_json_schema={"enum": ["Bearer"]})]
    scope: Annotated[str, about("Its scopes, by spaces")]
    created_at: Annotated[int, about("In Unix seconds")]
    expires_in: NotRequired[Annotated[int, about("Seconds; left out where it lasts until revoked")]]


class UserInfoEntity(TypedDict):
    """The signed-in user, as OpenID Connect names it."""

    iss: Annotated[Url, about("This server")]
    sub: Annotated[Url, about("The account's page, which never changes")]
    name: str
    preferred_username: str
    profile: Url


class ServerMetadataEntity(TypedDict):
    """What a server knows of OAuth (RFC 8414)."""

    issuer: Url
    authorization_endpoint: Url
    token_endpoint: Url
    revocation_endpoint: Url
    userinfo_endpoint: Url
    app_registration_endpoint: Annotated[Url, about("Mastodon's: apps register here")]
    scopes_supported: Sequence[str]
    response_types_supported: Sequence[str]
    response_modes_supported: Sequence[str]
    grant_types_supported: Sequence[str]
    token_endpoint_auth_methods_supported: Sequence[str]
    revocation_endpoint_auth_methods_supported: Sequence[str]
    code_challenge_methods_supported: Sequence[str]
    service_documentation: Url


@router.post("/oauth/token")
@documented_by(TokenRequest)
async def create_token(
    request: Request, state: CurrentState, caller: Caller
) -> EntityResponse[TokenEntity]:
    """A token for a code, for a password, or for the app alone."""
    parameters = await read_credentials(request)
    app = await find_app(state.ports.apps, parameters)
    code = None
    if app is not None and "code" in parameters:
        code = await state.ports.apps.find_code(secret_digest(parameters["code"]))
        if code is not None and code.expires_ms <= state.ports.clock_ms():
            code = None
    server = OAuthServer(app, code)
    answer: OAuthAnswer = server.create_token_response(ClientRequest("POST", parameters))
    if answer.status != 200 or server.granted is None or app is None:
        return _json(answer.body, answer.status)
    try:
        token = await _issue(state, app, server.granted, caller)
    except WrongCredentials:
        return _json(_WRONG_PASSWORD, 400)
    except NotAllowed as error:  # the account is suspended
        return _json({"error": "invalid_grant", "error_description": str(error)}, 400)
    if token is None:
        return _json(_USED_CODE, 400)
    return _json(answer.body | token)


async def _issue(
    state: ApiState, app: AppRecord, granted: Grant, caller: Caller
) -> dict[str, Any] | None:
    """What makes the response whole; None where the code was used before."""
    ports, scopes = state.ports, granted.scope.split()
    made = {"created_at": ports.clock_ms() // 1000}

    async def issue(user: int) -> str:
        return await ports.tokens.issue(user, scopes, APP_TOKEN_DAYS, app.id)

    if granted.password is not None:
        token = await state.registrar.sign_in_by_name(*granted.password, caller, issue)
        return made | {"access_token": token}
    if granted.code is None:
        alone = await ports.tokens.issue(0, scopes, app=app.id)
        return made | {"access_token": alone, "expires_in": TOKEN_LIFE_DAYS * 24 * 60 * 60}
    user, digest = granted.code.user, granted.code.digest
    if not await ports.apps.spend_code(digest):
        # Sent twice: one of the two may have been a thief.
        await ports.tokens.end_sessions(user, app=app.id)
        return None
    token = await issue(user)
    if await ports.apps.find_code(digest) is None:
        # The user's sessions were ended in between.
        await ports.tokens.end_sessions(user, app=app.id)
        return None
    return made | {"access_token": token}


@router.post("/oauth/revoke", responses={403: {}})
@documented_by(ReturnedToken)
async def revoke_token(request: Request, state: CurrentState) -> EntityResponse[EmptyEntity]:
    """End a token of the app that gives it back."""
    parameters = await read_credentials(request)
    app = await find_app(state.ports.apps, parameters)
    server = OAuthServer(app)
    answer: OAuthAnswer = server.create_endpoint_response(
        "revocation", ClientRequest("POST", parameters)
    )
    if server.revoked is not None and app is not None:
        try:
            claims = await state.ports.tokens.read_claims(server.revoked.encode())
        except (InvalidToken, ExpiredToken):
            return entity({})
        if claims.app != app.id:
            return _json({"error": "unauthorized_client"}, 403)
        await state.ports.tokens.end_session(claims.id)
    return _json(answer.body, answer.status)


@router.get("/oauth/userinfo")
async def user_info(reader: Reader, state: CurrentState) -> EntityResponse[UserInfoEntity]:
    """Who is signed in, as OpenID Connect names it."""
    base_url, user = state.ports.base_url, await state.user_views.user_from_log(reader)
    profile = f"{base_url}/@{user.handle}"
    return entity(
        {
            "iss": base_url, "sub": profile, "name": user.name or user.handle,
            "preferred_username": user.handle, "profile": profile,
        }
    )  # fmt: skip


@router.get("/.well-known/oauth-authorization-server")
async def server_metadata(state: CurrentState) -> EntityResponse[ServerMetadataEntity]:
    """What this server knows of OAuth (RFC 8414)."""
    base_url = state.ports.base_url
    return entity(
        {
            "issuer": base_url,
            "authorization_endpoint": base_url + CONSENT_PATH,
            "token_endpoint": f"{base_url}/oauth/token",
            "revocation_endpoint": f"{base_url}/oauth/revoke",
            "userinfo_endpoint": f"{base_url}/oauth/userinfo",
            "app_registration_endpoint": f"{base_url}/api/v1/apps",
            "scopes_supported": APP_SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GRANT_TYPES,
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
            "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
            "code_challenge_methods_supported": ["S256"],
            "service_documentation": f"{base_url}/docs",
        }
    )


def _json(body: Any, status: int = 200) -> EntityResponse[Any]:
    return entity(body, status=status)
