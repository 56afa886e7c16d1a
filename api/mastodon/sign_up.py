"""Signing up over an app: the token of a new user, or what is wrong with each field; and the link
that confirms the user's email address.
"""

from typing import Annotated, Any, Final, NamedTuple, NotRequired, TypedDict

from fastapi import APIRouter, Depends
from pydantic import Field

from api.accounts.errors import EmailTaken
from api.accounts.passwords import require_uncommon
from api.accounts.registration import checked_email
from api.accounts.token_store import TokenClaims
from api.http.callers import Caller, NetworkAddress
from api.http.errors import RequestRefused, token_missing
from api.http.request import KeyHeader
from api.http.tokens import Actor, Reader, token_claims
from api.mastodon.client_request import await_views
from api.mastodon.entities import EmptyEntity, EntityResponse, about, answers_also, entity
from api.mastodon.parameters import ClientParameters, Flag, OptionalText, example, reads
from api.oauth.token_routes import APP_TOKEN_DAYS, TokenEntity
from api.schemas import LONGEST_PASSWORD, SHORTEST_PASSWORD
from api.state import ApiState, CurrentState
from commands.errors import InvalidInput, StateConflict
from commands.import_line import Credentials
from commands.user import MAX_HANDLE_LENGTH, MIN_HANDLE_LENGTH, Register, fold_handle

router = APIRouter(prefix="/api/v1", tags=["mastodon"])

_NAMES: Final = {"agreement": "Service agreement"}
"""What a field is called in a sentence, if not by its name."""


class FieldProblemEntity(TypedDict):
    """What is wrong with a field."""

    error: Annotated[str, about("A code: `ERR_BLANK`, `ERR_TAKEN`, `ERR_TOO_SHORT`, ...")]
    description: Annotated[str, about("How a sentence about the field goes on")]


class ValidationErrorEntity(TypedDict):
    """Why an account was not made."""

    error: Annotated[str, about("All of it in one sentence")]
    details: NotRequired[
        Annotated[
            dict[str, list[FieldProblemEntity]],
            about("By the names of fields; left out where it is no field's fault"),
        ]
    ]


class NewAccount(ClientParameters):
    """A new account. `locale` and `reason` are sent, too: no mail is translated, and no operator
    has to agree.
    """

    model_config = example(
        username="ada", email="ada@example.org", password="correct horse", agreement=True
    )

    username: Annotated[
        OptionalText, Field(description="The handle: 2 to 30 letters, digits and `_`")
    ] = None
    email: Annotated[OptionalText, Field(description="Where the link goes that confirms it")] = None
    password: Annotated[
        OptionalText, Field(description="At least 8 characters, and none of the common ones")
    ] = None
    agreement: Annotated[Flag, Field(description="Has to be true")] = None


class ConfirmationParameters(ClientParameters):
    """The address that the link goes to: that of the account, if any is named."""

    email: Annotated[
        OptionalText, Field(description="That of the account; another one is refused")
    ] = None


class FieldProblem(NamedTuple):
    """What is wrong with a field: a code that clients know, and how a sentence about it goes on."""

    error: str
    description: str


_BLANK: Final = FieldProblem("ERR_BLANK", "can't be blank")
_TAKEN: Final = FieldProblem("ERR_TAKEN", "has already been taken")
_NOT_ACCEPTED: Final = FieldProblem("ERR_ACCEPTED", "must be accepted")


@router.post("/accounts")
@answers_also(422, ValidationErrorEntity)
async def sign_up(
    state: CurrentState,
    caller: Caller,
    claims: Annotated[TokenClaims | None, Depends(token_claims)],
    new: Annotated[NewAccount, reads(NewAccount)],
    key: KeyHeader = None,
) -> EntityResponse[TokenEntity]:
    """Sign up, with a token of an app alone: the entity `Token` of the new user for that app."""
    if claims is None:
        raise token_missing()
    ports = state.ports
    apps = await ports.apps.find_apps(() if claims.app is None else (claims.app,))
    if not apps or claims.user:
        message = "This method requires a token of an app alone (client_credentials)"
        raise RequestRefused(403, "app-required", message)
    if found := field_problems(new):
        return _refusal(found)
    command = Register(new.username or "", new.username or "")
    credentials = Credentials(new.email, new.password)
    try:
        outcome = await state.registrar.sign_up(command, credentials, caller, key)
    except EmailTaken:
        return _refusal({"email": _TAKEN})
    except StateConflict as error:
        if error.code != "handle-taken":
            raise
        return _refusal({"username": _TAKEN})
    if not outcome.replayed:
        state.recovery.ask_for_verification(outcome.id)
    await await_views(state, outcome)
    [scopes] = [app.scopes for app in apps.values()]
    token = await ports.tokens.issue(outcome.id, scopes, APP_TOKEN_DAYS, claims.app)
    return entity(
        {
            "access_token": token,
            "token_type": "Bearer",
            "scope": " ".join(sorted(scopes)),
            "created_at": ports.clock_ms() // 1000,
        }
    )


@router.post("/emails/confirmations")
async def send_confirmation(
    actor: Actor,
    state: CurrentState,
    address: NetworkAddress,
    wanted: Annotated[ConfirmationParameters, reads(ConfirmationParameters)],
) -> EntityResponse[EmptyEntity]:
    """Have the link that confirms one's email address sent again, until it is confirmed."""
    if wanted.email is not None:
        await _require_own_address(state, actor, wanted.email)
    if not await state.recovery.request_verification(actor, address):
        message = "This method is only available while the e-mail is awaiting confirmation"
        raise RequestRefused(403, "email-verified", message)
    return entity({})


async def _require_own_address(state: ApiState, user: int, email: str) -> None:
    """Raises `RequestRefused` (422): who changes the address could take the account over it, so
    that asks for the password.
    """
    account = await state.ports.accounts.get(user)
    if account is None or email.casefold() != (account.email or "").casefold():
        message = (
            "Validation failed: Email is another than the account's: change it with the "
            "password, over `PATCH /v1/users/me`"
        )
        raise RequestRefused(422, "invalid-body", message)


@router.get("/emails/check_confirmation")
async def check_confirmation(reader: Reader, state: CurrentState) -> EntityResponse[bool]:
    """Whether one's email address is confirmed: `true` or `false`."""
    account = await state.ports.accounts.get(reader)
    return entity(account is not None and account.email_verified)


def field_problems(new: NewAccount) -> dict[str, FieldProblem]:
    """What is wrong with the fields of a new account, by their names."""
    found = {
        "username": _username_problem(new.username),
        "email": _email_problem(new.email),
        "password": _password_problem(new.password),
        "agreement": None if new.agreement else _NOT_ACCEPTED,
    }
    return {name: problem for name, problem in found.items() if problem is not None}


def _username_problem(username: str | None) -> FieldProblem | None:
    if username is None:
        return _BLANK
    try:
        fold_handle(username)
    except InvalidInput as error:
        return _wrong_length(username, MIN_HANDLE_LENGTH, MAX_HANDLE_LENGTH) or _invalid(error)
    return None


def _email_problem(email: str | None) -> FieldProblem | None:
    if email is None:
        return _BLANK
    try:
        checked_email(email)
    except InvalidInput as error:
        return _invalid(error)
    return None


def _password_problem(password: str | None) -> FieldProblem | None:
    if password is None:
        return _BLANK
    if wrong_length := _wrong_length(password, SHORTEST_PASSWORD, LONGEST_PASSWORD):
        return wrong_length
    try:
        require_uncommon(password)
    except InvalidInput as error:
        return _invalid(error)
    return None


def _wrong_length(text: str, least: int, most: int) -> FieldProblem | None:
    if len(text) < least:
        return FieldProblem("ERR_TOO_SHORT", f"is too short (minimum is {least} characters)")
    if len(text) > most:
        return FieldProblem("ERR_TOO_LONG", f"is too long (maximum is {most} characters)")
    return None


def _invalid(error: InvalidInput) -> FieldProblem:
    return FieldProblem("ERR_INVALID", f"is invalid: {error}")


def _refusal(found: dict[str, FieldProblem]) -> EntityResponse[Any]:
    sentences = [
        f"{_NAMES.get(name, name.capitalize())} {one.description}" for name, one in found.items()
    ]
    body: ValidationErrorEntity = {
        "error": f"Validation failed: {', '.join(sentences)}",
        "details": {
            name: [{"error": one.error, "description": one.description}]
            for name, one in found.items()
        },
    }
    return entity(body, status=422)
