"""What apps send to the addresses of OAuth: in the query, a form or JSON, and HTTP's Basic."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from fastapi import Request

from api.accounts.app_scopes import known_scopes
from api.http.errors import RequestRefused
from api.mastodon.parameters import ClientParameters, OptionalText, read_parameters
from api.oauth.app_store import AppRecord, AppStore
from events.ids.snowflake import parse_decimal


class AuthorizationQuery(ClientParameters):
    """What an app asks the consent page for."""

    response_type: OptionalText = None
    client_id: OptionalText = None
    redirect_uri: OptionalText = None
    scope: OptionalText = None
    state: OptionalText = None
    code_challenge: OptionalText = None
    code_challenge_method: OptionalText = None


class ConsentForm(AuthorizationQuery):
    """What the form of the consent page sends."""

    form_secret: OptionalText = None
    decision: OptionalText = None
    username: OptionalText = None
    password: OptionalText = None


class TokenRequest(ClientParameters):
    """What an app has for a token; id and secret may come by HTTP's Basic, too."""

    grant_type: OptionalText = None
    client_id: OptionalText = None
    client_secret: OptionalText = None
    code: OptionalText = None
    redirect_uri: OptionalText = None
    code_verifier: OptionalText = None
    scope: OptionalText = None
    username: OptionalText = None
    password: OptionalText = None


class ReturnedToken(ClientParameters):
    """A token that an app gives back."""

    client_id: OptionalText = None
    client_secret: OptionalText = None
    token: OptionalText = None


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
