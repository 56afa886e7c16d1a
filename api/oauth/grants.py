"""What an app gets, decided by authlib.

Authlib asks for apps and codes while it decides, and can't wait for an answer. So both are looked
up first, authlib decides about one request without looking further, and what follows from that (a
password is compared, a code spent, a token stored) is done by the routes (`docs/adr/0070`).
"""

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, Final, NamedTuple

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidScopeError
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    ResourceOwnerPasswordCredentialsGrant,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from api.accounts.app_scopes import APP_SCOPES, covers_scope
from api.oauth.app_store import AppRecord, CodeRecord, secret_digest

OUT_OF_BAND: Final = "urn:ietf:wg:oauth:2.0:oob"
"""The redirect address of apps that none leads to: the code is shown on a page."""

DEFAULT_SCOPE: Final = "read"
SECRET_METHODS: Final = ("client_secret_post", "client_secret_basic")
AUTH_METHODS: Final = (*SECRET_METHODS, "none")
GRANT_TYPES: Final = ("authorization_code", "client_credentials", "password")


class OAuthAnswer(NamedTuple):
    """A response as authlib makes one; the body is a JSON object, or empty."""

    status: int
    body: Any
    headers: list[tuple[str, str]]

    @property
    def location(self) -> str | None:
        """Where it redirects to."""
        return dict(self.headers).get("Location")


class Grant(NamedTuple):
    """What a token is for: one of `code` and `password` says whose it is, or neither."""

    scope: str
    code: CodeRecord | None
    password: tuple[str, str] | None


class ClientRequest(OAuth2Request):
    """A request with its parameters, in whatever form they came."""

    def __init__(self, method: str, parameters: Mapping[str, str]) -> None:
        # Authlib refuses plain HTTP, which is what comes from a proxy.
        super().__init__(method, "https://starling/oauth")
        self.payload = BasicOAuth2Payload(dict(parameters))

    @property
    def form(self) -> dict[str, str]:
        found: dict[str, str] = self.payload.data
        return found


class OAuthClient:
    """An app as authlib asks about one. It may leave its secret out, and proves a code's challenge
    then.
    """

    def __init__(self, app: AppRecord) -> None:
        self.app = app

    def get_default_redirect_uri(self) -> str:
        return self.app.redirect_uris[0]

    def get_allowed_scope(self, scope: str | None) -> str | None:
        wanted = (scope or DEFAULT_SCOPE).split()
        if not all(covers_scope(self.app.scopes, one) for one in wanted):
            return None
        return " ".join(dict.fromkeys(wanted))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.app.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return compare_digest(self.app.secret_digest, secret_digest(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return True

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in GRANT_TYPES


class _CodeOfApp:
    """A code as authlib asks about one."""

    code_challenge_method = "S256"

    def __init__(self, record: CodeRecord) -> None:
        self.record = record
        self.code_challenge = record.challenge

    def get_redirect_uri(self) -> str:
        return self.record.redirect_uri

    def get_scope(self) -> str:
        return self.record.scope


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code: str, request: ClientRequest) -> None:
        self.server.issued_code = code

    def query_authorization_code(self, code: str, client: OAuthClient) -> _CodeOfApp | None:
        found = self.server.code
        return _CodeOfApp(found) if found is not None and found.app == client.app.id else None

    def authenticate_user(self, authorization_code: _CodeOfApp) -> int:
        return authorization_code.record.user

    def delete_authorization_code(self, authorization_code: _CodeOfApp) -> None:
        """The route spends it."""


class _S256Challenge(CodeChallenge):
    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)


class _AppGrant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS


class _PasswordGrant(ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS

    def authenticate_user(self, username: str, password: str) -> tuple[str, str]:
        return username, password  # the route compares it


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> None:
        self.server.revoked = token_string


class OAuthServer(AuthorizationServer):
    """Decides about one request, whose app and code are those that are given, if there are any."""

    def __init__(self, app: AppRecord | None, code: CodeRecord | None = None) -> None:
        super().__init__(scopes_supported=APP_SCOPES)
        self.client = None if app is None else OAuthClient(app)
        self.code = code
        self.issued_code: str | None = None
        """The code that the response hands out."""
        self.granted: Grant | None = None
        """What the token of the response is for."""
        self.revoked: str | None = None
        """The token that the app gives back."""
        self.register_grant(_CodeGrant, [_S256Challenge(required=True)])
        self.register_grant(_AppGrant)
        self.register_grant(_PasswordGrant)
        self.register_endpoint(_Revocation)
        self.register_token_generator("default", self._grant_token)

    def query_client(self, client_id: str) -> OAuthClient | None:
        client = self.client
        return client if client is not None and str(client.app.id) == client_id else None

    def create_oauth2_request(self, request: ClientRequest) -> ClientRequest:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Any:
        refused_client = isinstance(body, dict) and body.get("error") == "invalid_client"
        return OAuthAnswer(401 if refused_client else status, body, headers)

    def send_signal(self, name: str, *args: object, **more: object) -> None:
        """Nothing listens."""

    def save_token(self, token: dict[str, str], request: ClientRequest) -> None:
        """The route does."""

    def _grant_token(self, scope: str | None, user: Any = None, **more: object) -> dict[str, str]:
        assert self.client is not None
        allowed = scope if self._of_code(user) else self.client.get_allowed_scope(scope)
        if allowed is None:
            raise InvalidScopeError()
        code = self.code if self._of_code(user) else None
        self.granted = Grant(allowed, code, user if isinstance(user, tuple) else None)
        return {"token_type": "Bearer", "scope": allowed}

    def _of_code(self, user: Any) -> bool:
        return isinstance(user, int)
