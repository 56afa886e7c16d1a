"""`/v1/password-resets` and verification of email addresses: asking for a link, and what it does.

The links lead to a page; the token is in a body here, never in an address. A link that an operator
printed works where the server sends no mail, too.
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.http.callers import Caller, NetworkAddress
from api.http.errors import problems
from api.http.route import ApiRoute
from api.http.tokens import CurrentToken
from api.schemas import ApiModel, Email, Password
from api.state import CurrentState

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["accounts"])

LinkToken = Annotated[
    str,
    Field(
        max_length=200,
        description="what follows `reset=` or `verify=` in a link",
        examples=["1790012345678901248.1790012345678.c2lnbmF0dXJl"],
    ),
]


class ResetRequest(ApiModel):
    """The email address of one's account."""

    email: Email


class PasswordReset(ApiModel):
    """The token of a link, and the new password."""

    token: LinkToken
    password: Password


class EmailConfirmation(ApiModel):
    """The token of a link."""

    token: LinkToken


class Accepted(ApiModel):
    """It will be seen to."""

    accepted: bool = True


class PasswordChanged(ApiModel):
    """All sessions were ended: sign in with the new password."""

    changed: bool = True


class EmailVerified(ApiModel):
    """The address is the user's."""

    email_verified: bool = True


@router.post("/password-resets", status_code=202, responses=problems(409, 422, 429, 503))
async def request_password_reset(
    wanted: ResetRequest, state: CurrentState, address: NetworkAddress
) -> Accepted:
    """Have a link sent to an email address, if an account has it. The answer doesn't say."""
    await state.recovery.request_reset(wanted.email, address)
    return Accepted()


@router.post("/password-resets/confirm", responses=problems(403, 422, 429, 503))
async def reset_password(
    reset: PasswordReset, state: CurrentState, caller: Caller
) -> PasswordChanged:
    """Choose another password by a link, which works once, for an hour. Ends all sessions."""
    await state.recovery.reset_password(reset.token, reset.password, caller)
    await state.ports.tokens.note_revocations()
    return PasswordChanged()


@router.post(
    "/users/me/email-verification",
    status_code=202,
    responses=problems(401, 403, 409, 429, 503),
)
async def request_email_verification(
    token: CurrentToken, state: CurrentState, address: NetworkAddress
) -> Accepted:
    """Have a link sent to one's own email address, unless it is verified. It is good for a day."""
    await state.recovery.request_verification(token.user, address)
    return Accepted()


@router.post("/email-verifications/confirm", responses=problems(403, 422, 429, 503))
async def verify_email(confirmation: EmailConfirmation, state: CurrentState) -> EmailVerified:
    """Verify an email address by the link that was sent there."""
    await state.recovery.verify_email(confirmation.token)
    return EmailVerified()
