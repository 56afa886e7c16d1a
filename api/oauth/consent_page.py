"""The page on which users let an app in, and the one that shows them a code."""

import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple

from fastapi import Response

from api.oauth.app_store import AppRecord
from api.oauth.grants import OUT_OF_BAND
from api.oauth.redirect_addresses import form_action, place_of
from api.web.templates import render_page

CONSENT_PATH: Final = "/oauth/authorize"
_COOKIE: Final = "starling_consent"
_COOKIE_SECONDS: Final = 60 * 60
_SECRET_LENGTH: Final = 43

_VERBS: Final = {"read": "See", "write": "Change"}
_PARTS: Final = {
    "accounts": "your profile and people's accounts",
    "blocks": "whom you block",
    "bookmarks": "your bookmarks",
    "conversations": "your conversations",
    "favourites": "what you like",
    "filters": "your filters",
    "follows": "whom you follow",
    "lists": "your lists",
    "media": "your images",
    "mutes": "whom you mute",
    "notifications": "your notifications",
    "reports": "your reports",
    "search": "what a search finds",
    "statuses": "posts and timelines",
}
_WHOLE: Final = {
    "profile": "See your name, handle and picture",
    "read": "See everything that you see: posts, people, notifications, bookmarks, blocks",
    "write": "Act for you: post, delete, like, follow, block, change your profile",
    "follow": "See and change whom you follow, block and mute",
    "push": "Be sent what is new for you, of what it may see",
}
_EXACT: Final = {
    "read:search": "Search for you",
    "write:statuses": "Post, change and delete posts for you",
    "write:media": "Upload images for you",
    "write:reports": "Report posts and people for you",
}


class Consent(NamedTuple):
    """What a user is asked: the parameters go into the form, to come back with it."""

    app: AppRecord
    redirect_uri: str
    scope: str
    parameters: Mapping[str, str]


def explain_scope(scope: str) -> str:
    """What a scope allows, in words for people."""
    if known := _WHOLE.get(scope) or _EXACT.get(scope):
        return known
    verb, _, part = scope.partition(":")
    return f"{_VERBS[verb]} {_PARTS[part]}"


class FormSecret(NamedTuple):
    """What only a page of this server knows: it stands in a cookie and in the form that it shows.

    So no other page can send the form.
    """

    text: str
    secure: bool

    @classmethod
    def of_request(cls, cookies: Mapping[str, str], secure: bool) -> "FormSecret":
        """The secret in the cookie, or a new one."""
        known = cookies.get(cls._name(secure), "")
        return cls(known if len(known) == _SECRET_LENGTH else secrets.token_urlsafe(32), secure)

    def is_in(self, form: Mapping[str, str]) -> bool:
        """Whether a form was shown with this secret."""
        sent = form.get("form_secret", "").encode()
        return secrets.compare_digest(sent, self.text.encode())

    def put_into(self, response: Response) -> None:
        """Set the cookie."""
        response.set_cookie(
            self._name(self.secure), self.text, _COOKIE_SECONDS, secure=self.secure, httponly=True,
            samesite="lax",
        )  # fmt: skip

    @staticmethod
    def _name(secure: bool) -> str:
        # With the prefix, no page of another host can set it.
        return f"__Host-{_COOKIE}" if secure else _COOKIE


def consent_page(
    consent: Consent, domain: str, secret: FormSecret, problem: str = "", status: int = 200
) -> Response:
    """The page with the form; `problem` says why it is shown again."""
    response = render_page(
        "consent.html", status, form_action(consent.redirect_uri),
        app=consent.app,
        domain=domain,
        allows=[explain_scope(scope) for scope in consent.scope.split()],
        place=None if consent.redirect_uri == OUT_OF_BAND else place_of(consent.redirect_uri),
        parameters=consent.parameters,
        form_secret=secret.text,
        problem=problem,
    )  # fmt: skip
    secret.put_into(response)
    return response


def code_page(app: AppRecord, code: str) -> Response:
    """The page with a code, to be copied into an app that no address leads to."""
    return render_page("code.html", 200, app=app, code=code)


def refusal_page(problem: str, status: int = 400) -> Response:
    """The page for a request that can't be answered by sending the user back."""
    return render_page("refusal.html", status, problem=problem)
