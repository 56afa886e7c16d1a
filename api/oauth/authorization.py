"""`/oauth/authorize`: asks a user whether to let an app in, and sends the app its code."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from authlib.oauth2 import OAuth2Error
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.accounts.errors import TooManyHashes, TooManyTries, WrongCredentials
from api.http.callers import Caller
from api.mastodon.parameters import documented_by
from api.oauth.app_store import CodeRecord, secret_digest
from api.oauth.client_parameters import (
    AuthorizationQuery,
    ConsentForm,
    find_app,
    read_texts,
)
from api.oauth.consent_page import (
    CONSENT_PATH,
    Consent,
    FormSecret,
    code_page,
    consent_page,
    refusal_page,
)
from api.oauth.grants import OUT_OF_BAND, ClientRequest, OAuthAnswer, OAuthServer
from api.state import ApiState, CurrentState
from commands.errors import NotAllowed

CODE_LIFE_MS: Final = 5 * 60 * 1000
_KEPT: Final = (
    "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge",
    "code_challenge_method",
)  # fmt: skip
"""The parameters of a request that decide about its answer."""
_MOST_STATE: Final = 2000
_RESPONSE_TYPE: Final = re.compile(r"[A-Za-z0-9_ ]+")
"""What RFC 6749 lets response types be called (appendix A.3)."""

_PAGES: Final[dict[int | str, dict[str, Any]]] = {
    303: {"description": "Back to the app, with a code or an error"},
    "4XX": {"description": "A page that says why not", "content": {"text/html": {}}},
    503: {"description": "The page again: the server is busy", "content": {"text/html": {}}},
}

router = APIRouter(tags=["oauth"])


class _Authorization:
    """One request for a code: what authlib says of it."""

    def __init__(self, server: OAuthServer, parameters: Mapping[str, str]) -> None:
        self.server = server
        self.request = ClientRequest("GET", parameters)
        self.grant = server.get_consent_grant(self.request, None)

    @property
    def consent(self) -> Consent:
        assert self.server.client is not None  # authlib found it
        return Consent(
            self.server.client.app,
            self.grant.redirect_uri,
            self.request.scope,
            self.request.payload.data,
        )

    def answer(self, user: int | None) -> OAuthAnswer:
        """The response for a user who allows it, or for a refusal."""
        answer: OAuthAnswer = self.server.create_authorization_response(
            self.request, grant_user=user, grant=self.grant
        )
        return answer


@router.get(CONSENT_PATH, response_class=HTMLResponse, responses=_PAGES)
@documented_by(AuthorizationQuery)
async def ask_for_consent(request: Request, state: CurrentState) -> Response:
    """The page on which a user lets an app in, or not."""
    asked = await _read_authorization(request, state)
    if isinstance(asked, Response):
        return asked
    secret = _form_secret(request, state)
    return consent_page(asked.consent, _domain(state), secret)


@router.post(CONSENT_PATH, response_class=HTMLResponse, responses=_PAGES)
@documented_by(ConsentForm)
async def answer_consent(request: Request, state: CurrentState, caller: Caller) -> Response:
    """What that page's form sends: the app gets a code, or hears that it was refused."""
    asked = await _read_authorization(request, state)
    if isinstance(asked, Response):
        return asked
    form, secret = await read_texts(request), _form_secret(request, state)
    from_elsewhere = request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    if from_elsewhere or not secret.is_in(form):
        problem = "The page was open for too long. Please try again."
        return consent_page(asked.consent, _domain(state), secret, problem, 403)
    if form.get("decision") != "allow":
        return _redirect(asked.answer(None))
    try:
        return await state.registrar.sign_in_by_name(
            form.get("username", ""), form.get("password", ""), caller,
            partial(_hand_out_code, state, asked),
        )  # fmt: skip
    except WrongCredentials:
        problem, status = "No account has this name and this password.", 401
    except TooManyTries as error:
        problem, status = f"Too many tries. Wait {error.seconds} seconds.", 429
    except NotAllowed as error:  # the account is suspended
        problem, status = str(error), 403
    except TooManyHashes:
        problem, status = "The server is busy. Try again in a moment.", 503
    return consent_page(asked.consent, _domain(state), secret, problem, status)


async def _read_authorization(request: Request, state: ApiState) -> _Authorization | Response:
    """The request, or what to answer where it is none that a user can be asked about."""
    given = await read_texts(request)
    parameters = {name: text for name, text in given.items() if name in _KEPT}
    if not _RESPONSE_TYPE.fullmatch(parameters.get("response_type", "")):
        parameters.pop("response_type", None)  # authlib fails where it can't quote it
    app = await find_app(state.ports.apps, parameters)
    if app is None:
        return refusal_page("No app has this client_id here. Sign in from the app again.")
    if parameters.get("redirect_uri", app.redirect_uris[0]) not in app.redirect_uris:
        return refusal_page("The app asks to be sent to an address that it is not registered for.")
    if len(parameters.get("state", "")) > _MOST_STATE:
        return refusal_page("The app sent a state that is too long.")
    server = OAuthServer(app)
    try:
        return _Authorization(server, parameters)
    except OAuth2Error as error:
        answer: OAuthAnswer = server.handle_error_response(None, error)
        return _redirect(answer)


async def _hand_out_code(state: ApiState, asked: _Authorization, user: int) -> Response:
    consent, answer = asked.consent, asked.answer(user)
    code = asked.server.issued_code
    if code is None:
        return _redirect(answer)
    now_ms = state.ports.clock_ms()
    record = CodeRecord(
        secret_digest(code), consent.app.id, user, consent.redirect_uri, consent.scope,
        consent.parameters.get("code_challenge"), now_ms + CODE_LIFE_MS,
    )  # fmt: skip
    await state.ports.apps.add_code(record, now_ms)
    if consent.redirect_uri == OUT_OF_BAND:
        return code_page(consent.app, code)
    return _redirect(answer)


def _redirect(answer: OAuthAnswer) -> Response:
    """A redirect to the app; a page where no address leads to it."""
    if answer.location is None or answer.location.startswith(OUT_OF_BAND):
        return refusal_page("The app was not let in.")
    # Not 302: what follows a form is a GET.
    return Response(status_code=303, headers={"location": answer.location})


def _form_secret(request: Request, state: ApiState) -> FormSecret:
    return FormSecret.of_request(request.cookies, state.ports.base_url.startswith("https:"))


def _domain(state: ApiState) -> str:
    return state.ports.base_url.partition("://")[2]
