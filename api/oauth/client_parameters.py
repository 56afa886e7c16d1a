"""What apps send to the addresses of OAuth: in the query, a form or JSON, and HTTP's Basic."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Request
from pydantic import Field

from api.accounts.app_scopes import known_scopes
from api.http.errors import RequestRefused
from api.mastodon.parameters import ClientParameters, OptionalText, example, read_parameters
from api.oauth.app_store import AppRecord, AppStore
from events.ids.snowflake import parse_decimal


class AuthorizationQuery(ClientParameters):
    """What an app asks the consent page for."""

    response_type: Annotated[OptionalText, Field(description="`code`")] = None
    client_id: Annotated[OptionalText, Field(description="The app's")] = None
    redirect_uri: Annotated[
        OptionalText, Field(description="One of the app's, as it was registered")
    ] = None
    scope: Annotated[
        OptionalText, Field(description="Scopes of the app, by spaces: `read` unless said")
    ] = None
    state: Annotated[OptionalText, Field(description="Comes back with the code")] = None
    code_challenge: Annotated[OptionalText, Field(description="Of PKCE")] = None
    code_challenge_method: Annotated[OptionalText, Field(description="`S256`")] = None


class ConsentForm(AuthorizationQuery):
    """What the form of the consent page sends."""

    form_secret: Annotated[
        OptionalText, Field(description="What the page's form has, against forms of other pages")
    ] = None
    decision: Annotated[
        OptionalText, Field(description="`allow`, or anything else for a refusal")
    ] = None
    username: Annotated[OptionalText, Field(description="A handle or an email address")] = None
    password: Annotated[OptionalText, Field(description="The user's")] = None


class TokenRequest(ClientParameters):
    """What an app has for a token; id and secret may come by HTTP's Basic, too."""

    model_config = example(
        grant_type="authorization_code",
        client_id="7412308000010240",
        client_secret="...",
        code="...",
        redirect_uri="https://app.example/callback",
    )

    grant_type: Annotated[
        OptionalText, Field(description="`authorization_code`, `client_credentials` or `password`")
    ] = None
    client_id: Annotated[OptionalText, Field(description="The app's")] = None
    client_secret: Annotated[
        OptionalText,
        Field(description="The app's; a public app has none and sends a `code_verifier`"),
    ] = None
    code: Annotated[OptionalText, Field(description="Once, within five minutes")] = None
    redirect_uri: Annotated[
        OptionalText, Field(description="The one that the code was asked for with")
    ] = None
    code_verifier: Annotated[OptionalText, Field(description="Of PKCE")] = None
    scope: Annotated[
        OptionalText, Field(description="Scopes, where there is no code that has some")
    ] = None
    username: Annotated[
        OptionalText, Field(description="A handle or an email address, of the grant `password`")
    ] = None
    password: Annotated[OptionalText, Field(description="The user's, of the grant `password`")] = (
        None
    )


class ReturnedToken(ClientParameters):
    """A token that an app gives back."""

    model_config = example(client_id="7412308000010240", client_secret="...", token="...")

    client_id: Annotated[OptionalText, Field(description="The app's")] = None
    client_secret: Annotated[OptionalText, Field(description="The app's")] = None
    token: Annotated[OptionalText, Field(description="The token to end")] = None


async def read_texts(request: Request) -> dict[str, str]:
    """The parameters that are texts, or lists of them joined by spaces; empty ones are absent.

    Raises `RequestRefused` (400) for a body that can't be read.
    """
    given = await read_parameters(request)
    texts = {name: _text(value) for name, value in given.items()}
    return {name: text for name, text in texts.items() if text}


def _text(given: Any) -> str:
    if isinstance(given, list):
        return " ".join(one for one in given if isinstance(one, str))
    return str(given) if isinstance(given, str | int) else ""


async def read_credentials(request: Request) -> dict[str, str]:
    """The same, with id and secret of the app from the header, if they are there."""
    parameters = await read_texts(request)
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return parameters
    try:
        id, _, secret = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return parameters
    return parameters | {"client_id": unquote(id), "client_secret": unquote(secret)}


async def find_app(apps: AppStore, parameters: Mapping[str, str]) -> AppRecord | None:
    """The app that the parameters name."""
    id = parse_decimal(parameters.get("client_id", ""))
    return (await apps.find_apps((id,))).get(id) if id else None


def checked_scopes(text: str) -> frozenset[str]:
    """The scopes that an app registers for. Raises `RequestRefused` (422)."""
    scopes = frozenset(text.split())
    if not scopes or not known_scopes(scopes):
        message = "Validation failed: Scopes doesn't match configured on the server."
        raise RequestRefused(422, "invalid-body", message)
    return scopes
