"""`/v1/users` and `/v1/sessions`: registration, sign-in, profiles, and who follows whom."""

from typing import Final

from fastapi import APIRouter, Response

from api.accounts.access_tokens import USER_SCOPE
from api.http.callers import Caller, NetworkAddress
from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, Page, UsersPage
from api.http.request import (
    QUERY_PROBLEMS,
    AtTime,
    Commands,
    KeyHeader,
    UserReference,
    VisibleUser,
    blocked_users,
    command_problems,
    fresh_views,
    json_response,
    position_header,
)
from api.http.route import ApiRoute
from api.http.tokens import CurrentToken, Reader, Viewer, requires_scope
from api.schemas import (
    ApiModel,
    Done,
    GivenPassword,
    NewUser,
    ProfilePatch,
    Registered,
    SignIn,
    Token,
    User,
)
from api.state import ApiState, CurrentState
from api.v1.posts import UserQuery, users_page
from api.views.users import USER_VIEWS
from commands.import_line import Credentials
from commands.rules import user_not_found
from commands.user import ChangeProfile, DeleteAccount, Register, checked_profile_change
from projections import followers

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["accounts"])


RECENT_SIGN_IN_MS: Final = 15 * 60 * 1000
"""So long after it, an account may be deleted without its password being sent again."""

_SHOWN: Final = ("name", "bio", "avatar", "header", "fields", "bot")

FRESH_USERS: Final = [fresh_views(*USER_VIEWS, "timeline")]


class AccountDeletion(ApiModel):
    """The password, without which only a session of the last 15 minutes may delete the account."""

    password: GivenPassword | None = None


NO_PASSWORD: Final = AccountDeletion()


@router.post("/users", status_code=201, responses=command_problems(409, success=201))
async def register(
    new: NewUser, state: CurrentState, response: Response, caller: Caller, key: KeyHeader = None
) -> Registered:
    """Register, and sign in at once."""
    command = Register(new.handle, new.name, new.bio)
    credentials = Credentials(new.email, new.password)
    outcome = await state.registrar.sign_up(command, credentials, caller, key)
    if not outcome.replayed:
        state.recovery.ask_for_verification(outcome.id)
    response.headers.update(position_header(outcome))
    user = await state.user_views.user_from_log(outcome.id)
    token = await state.ports.tokens.issue(outcome.id)
    return Registered(
        **user.model_dump() | {"email": new.email, "email_verified": False, "token": token}
    )


@router.post("/sessions", status_code=201, responses=problems(401, 403, 422, 429, 503))
async def sign_in(credentials: SignIn, state: CurrentState, caller: Caller) -> Token:
    """Sign in."""

    async def begin_session(user: int) -> Token:
        return Token(token=await state.ports.tokens.issue(user), id=str(user))

    return await state.registrar.sign_in(credentials, caller, begin_session)


@router.get(
    "/users/me",
    responses=QUERY_PROBLEMS | problems(403),
    dependencies=[requires_scope(USER_SCOPE), *FRESH_USERS],
)
async def get_me(reader: Reader, state: CurrentState) -> User:
    """Oneself, with the email address."""
    return await _own_user(state, reader)


@router.patch("/users/me", responses=command_problems(409, 429))
async def change_profile(
    patch: ProfilePatch,
    commands: Commands,
    state: CurrentState,
    token: CurrentToken,
    address: NetworkAddress,
    response: Response,
) -> User:
    """Change oneself; answers with what holds now. Another password ends all other sessions."""
    command = ChangeProfile(
        patch.name,
        patch.bio,
        _picture_change(patch, "avatar"),
        _picture_change(patch, "header"),
        None if patch.fields is None else tuple((one.name, one.value) for one in patch.fields),
        patch.bot,
    )
    checked_profile_change(command)  # before anything changes
    await state.registrar.change_credentials(commands.actor, patch, address, token.id)
    if patch.password is not None:
        await state.ports.tokens.note_revocations()
    pictures = [id for id in (patch.avatar, patch.header) if id]
    outcome = await commands.run(command, pictures)
    if patch.email is not None:
        state.recovery.ask_for_verification(commands.actor)
    response.headers.update(position_header(outcome))
    changed = await _own_user(state, commands.actor)
    # The views may not have the change yet; the log has.
    account = await state.user_views.user_from_log(commands.actor)
    now = {name: getattr(account, name) for name in _SHOWN}
    return changed.model_copy(update=now)


def _picture_change(patch: ProfilePatch, field: str) -> str | None:
    """What a command says of it: null is an empty one, and what is left out is None."""
    given: str | None = getattr(patch, field)
    return "" if given is None and field in patch.model_fields_set else given


@router.delete("/users/me", response_model=Done, responses=command_problems(429))
async def delete_account(
    commands: Commands,
    state: CurrentState,
    token: CurrentToken,
    address: NetworkAddress,
    deletion: AccountDeletion = NO_PASSWORD,
) -> Response:
    """Leave: the end of an account. What can be erased is erased.

    Takes the `password`, unless the session began in the last 15 minutes.
    """
    recent = token.made_ms > state.ports.clock_ms() - RECENT_SIGN_IN_MS
    if deletion.password is not None or not recent:
        await state.registrar.confirm_deletion(commands.actor, deletion.password, address)
    outcome = await commands.run(DeleteAccount())
    await state.ports.accounts.remove(commands.actor)
    # The request may be sent again, if its answer got lost; its token is worthless for all else.
    await state.ports.tokens.end_sessions(commands.actor, keep=token.id)
    return json_response(Done(id=str(outcome.id), deleted=True), headers=position_header(outcome))


@router.get(
    "/users/{ref}",
    responses=QUERY_PROBLEMS | problems(403, 404),
    dependencies=[fresh_views(*USER_VIEWS, "timeline", "personal_records")],
)
async def get_user(ref: UserReference, at: AtTime, viewer: Viewer, state: CurrentState) -> User:
    """A user; with `at` as they were then, and then without one's own email address."""
    stores = (
        (await state.ports.time_travel.stores_at(USER_VIEWS, at.ms, at.reader)).__getitem__
        if at is not None
        else None
    )
    user = await state.user_views.resolve(ref, stores)
    if stores is not None and await state.post_views.is_deleted(user):
        raise user_not_found(user)  # what is erased is not shown as it was either
    if user == viewer and stores is None:
        return await _own_user(state, user)
    found = await state.user_views.get_user(user, viewer, stores)
    if viewer and stores is None:
        found.note = await state.user_views.note_about(viewer, user)
    return found


@router.get(
    "/users/{ref}/followers",
    response_model=list[User],
    responses=PAGE_RESPONSE | problems(404),
    dependencies=FRESH_USERS,
)
async def list_followers(
    user: VisibleUser, page: UsersPage, viewer: Viewer, state: CurrentState
) -> Response:
    """Who follows a user; none where one of the two blocks the other."""
    return await _follows_page(state, page, followers.list_followers, user, viewer)


@router.get(
    "/users/{ref}/following",
    response_model=list[User],
    responses=PAGE_RESPONSE | problems(404),
    dependencies=FRESH_USERS,
)
async def list_following(
    user: VisibleUser, page: UsersPage, viewer: Viewer, state: CurrentState
) -> Response:
    """Whom a user follows; none where one of the two blocks the other."""
    return await _follows_page(state, page, followers.list_followed, user, viewer)


async def _follows_page(
    state: ApiState, page: Page, query: UserQuery, user: int, viewer: int
) -> Response:
    if user in await blocked_users(state, viewer):
        return json_response(b"[]")
    return await users_page(state, page, "followers", query, user, viewer)


async def _own_user(state: ApiState, user: int) -> User:
    found = await state.user_views.get_own_user(user)
    account = await state.ports.accounts.get(user)
    if account is not None and account.email is not None:
        found.email, found.email_verified = account.email, account.email_verified
    return found
