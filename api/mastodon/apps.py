"""Apps: their registration, and what one is told of itself."""

from collections.abc import Sequence
from secrets import token_urlsafe
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter, Depends
from pydantic import Field

from api.accounts.token_store import TokenClaims
from api.http.errors import RequestRefused, token_missing
from api.http.tokens import token_claims
from api.mastodon.entities import EntityResponse, Id, about, entity
from api.mastodon.parameters import ClientParameters, OptionalText, Texts, example, reads
from api.oauth.app_store import AppRecord, secret_digest
from api.oauth.client_parameters import checked_scopes
from api.oauth.grants import DEFAULT_SCOPE
from api.oauth.redirect_addresses import checked_addresses
from api.state import CurrentState

MAX_NAME_LENGTH: Final = 60
MAX_WEBSITE_LENGTH: Final = 2000

router = APIRouter(prefix="/api/v1/apps", tags=["mastodon"])


class ApplicationEntity(TypedDict):
    """An app that is registered here."""

    id: Id
    name: str
    website: str | None
    scopes: Annotated[list[str], about("Those that its tokens may have")]
    redirect_uri: Annotated[str, about("The `redirect_uris`, a line each")]
    redirect_uris: Annotated[Sequence[str], about("Where users are sent who let it in")]
    vapid_key: Annotated[str, about("Empty: there is no Web Push")]


class CredentialApplicationEntity(ApplicationEntity):
    """An app with its secret, which is told once."""

    client_id: Id
    client_secret: str
    client_secret_expires_at: Annotated[int, about("0: it doesn't expire")]


class NewApp(ClientParameters):
    """An app to register."""

    model_config = example(
        client_name="An app",
        redirect_uris=["https://app.example/callback"],
        scopes=["read", "write"],
        website="https://app.example",
    )

    client_name: Annotated[
        OptionalText, Field(description="What users are asked by, 60 characters at most")
    ] = None
    redirect_uris: Annotated[
        Texts,
        Field(
            description="Where users are sent, in a list or a line each, of any scheme; "
            "`urn:ietf:wg:oauth:2.0:oob` for a code on a page"
        ),
    ] = Field(default_factory=list)
    scopes: Annotated[
        Texts,
        Field(description="All scopes that its tokens may have, by spaces: `read` unless said"),
    ] = Field(default_factory=list)
    website: Annotated[OptionalText, Field(description="Its page")] = None


@router.post("")
async def register_app(
    state: CurrentState, new: Annotated[NewApp, reads(NewApp)]
) -> EntityResponse[CredentialApplicationEntity]:
    """Register an app: the entity `CredentialApplication`, with its secret."""
    secret = token_urlsafe(32)
    app = AppRecord(
        state.ports.new_id(),
        secret_digest(secret),
        _checked_name(new.client_name),
        _checked_website(new.website),
        checked_addresses(" ".join(new.redirect_uris)),
        checked_scopes(" ".join(new.scopes) or DEFAULT_SCOPE),
        state.ports.clock_ms(),
    )
    await state.ports.apps.add_app(app)
    return entity(
        {
            **_application(app),
            "client_id": str(app.id),
            "client_secret": secret,
            "client_secret_expires_at": 0,
        }
    )


@router.get("/verify_credentials", responses={404: {}})
async def verify_app(
    state: CurrentState, claims: Annotated[TokenClaims | None, Depends(token_claims)]
) -> EntityResponse[ApplicationEntity]:
    """The app of the token: the entity `Application`."""
    if claims is None:
        raise token_missing()
    found = await state.ports.apps.find_apps(() if claims.app is None else (claims.app,))
    if not found:
        raise RequestRefused(404, "app-not-found", "the token is of no app")
    return entity(_application(*found.values()))


def _application(app: AppRecord) -> ApplicationEntity:
    return {
        "id": str(app.id),
        "name": app.name,
        "website": app.website,
        "scopes": sorted(app.scopes),
        "redirect_uri": "\n".join(app.redirect_uris),
        "redirect_uris": app.redirect_uris,
        "vapid_key": "",
    }


def _checked_name(name: str | None) -> str:
    # Without what writes backwards or can't be seen: users are asked by this name.
    shown = "".join(one for one in name or "" if one.isprintable()).strip()
    if not 0 < len(shown) <= MAX_NAME_LENGTH:
        message = f"Validation failed: Application name must have 1 to {MAX_NAME_LENGTH} characters"
        raise RequestRefused(422, "invalid-body", message)
    return shown


def _checked_website(website: str | None) -> str | None:
    if website is None:
        return None
    fit = website.isprintable() and len(website) <= MAX_WEBSITE_LENGTH
    if not fit or not website.startswith(("https://", "http://")):
        message = "Validation failed: Application website must be a valid URL"
        raise RequestRefused(422, "invalid-body", message)
    return website
