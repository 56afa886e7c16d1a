"""`/v1/users` and `/v1/sessions`: registration, sign-in, profiles, and who follows whom."""

from msgspec import UNSET, UnsetType, structs

from api.accounts.access_tokens import USER_SCOPE
from api.accounts.registration import AccountRegistrar
from api.http import paging
from api.http.messages import HttpRequest, HttpResponse, json_response
from api.http.routing import RouteSpec
from api.ports import Ports
from api.schemas import (
    Done,
    NewUser,
    ProfilePatch,
    Registered,
    SignIn,
    Token,
    User,
    encode_json,
)
from api.v1.resource import (
    Resource,
    done_response,
    idempotency_key,
    position_header,
    time_from_query,
    user_ref_from_path,
)
from api.views.posts import PostViews
from api.views.users import USER_VIEWS, UserViews
from commands import idempotency
from commands.import_line import Credentials
from commands.request import CommandRequest
from commands.user import ChangeProfile, DeleteAccount, Register, checked_profile_change
from projections import followers


class AccountsResource(Resource):
    """Users and their sign-in."""

    def __init__(
        self,
        ports: Ports,
        registrar: AccountRegistrar,
        post_views: PostViews,
        user_views: UserViews,
    ) -> None:
        super().__init__(ports, post_views, user_views)
        self._registrar = registrar

    def routes(self) -> list[RouteSpec]:
        me, user = "/v1/users/me", "/v1/users/{ref}"
        return [
            RouteSpec(
                "POST", "/v1/users", self.register, "Register", Registered, NewUser, creates=True,
                command=True, problem_statuses=(409,),
            ),
            RouteSpec(
                "POST", "/v1/sessions", self.sign_in, "Sign in", Token, SignIn, creates=True,
                problem_statuses=(401, 429, 503),
            ),
            RouteSpec("GET", me, self.get_me, "Oneself", User, scope=USER_SCOPE, reads=USER_VIEWS),
            RouteSpec(
                "PATCH", me, self.change_profile, "Change oneself", Done, ProfilePatch,
                scope=USER_SCOPE, command=True, problem_statuses=(403, 409, 429),
            ),
            RouteSpec(
                "DELETE", me, self.delete_account, "Leave", Done, scope=USER_SCOPE, command=True
            ),
            RouteSpec(
                "GET", user, self.get_user, "A user", User, query_names=("at",), reads=USER_VIEWS,
                problem_statuses=(404, 422, 503),
            ),
            RouteSpec(
                "GET", f"{user}/followers", self.list_followers, "Who follows a user", list[User],
                reads=USER_VIEWS, max_page=paging.MAX_USERS, problem_statuses=(404,),
            ),
            RouteSpec(
                "GET", f"{user}/following", self.list_following, "Whom a user follows", list[User],
                reads=USER_VIEWS, max_page=paging.MAX_USERS, problem_statuses=(404,),
            ),
        ]  # fmt: skip

    async def register(self, request: HttpRequest) -> HttpResponse:
        new = await request.read_json(NewUser)
        command = Register(new.handle, new.name, new.bio)
        given = idempotency_key(request)
        key = idempotency.key_for_registration(given, command) if given is not None else None
        outcome = await self._registrar.register_account(
            CommandRequest(command, 0, key), Credentials(new.email, new.password)
        )
        user = self._user_views.user_from_log(outcome.id)
        token = self._ports.tokens.issue(outcome.id)
        registered = Registered(**structs.asdict(user) | {"email": new.email, "token": token})
        return json_response(encode_json(registered), 201, position_header(outcome))

    async def sign_in(self, request: HttpRequest) -> HttpResponse:
        user = await self._registrar.sign_in(
            await request.read_json(SignIn), request.client_address
        )
        token = Token(self._ports.tokens.issue(user, (USER_SCOPE,)), str(user))
        return json_response(encode_json(token), 201)

    async def get_me(self, request: HttpRequest) -> HttpResponse:
        """Oneself, with the email address."""
        user = await self._user_views.get_own_user(request.actor)
        account = await self._ports.accounts.get(request.actor)
        user.email = account.email if account is not None else None
        return json_response(encode_json(user))

    async def get_user(self, request: HttpRequest) -> HttpResponse:
        """A user; with `at` as they were then, and then without one's own email address."""
        ms = time_from_query(request, self._ports)
        stores = (
            (await self._ports.time_travel.stores_at(USER_VIEWS, ms)).__getitem__
            if ms is not None
            else None
        )
        user = await self._user_views.resolve(user_ref_from_path(request), stores)
        if user == request.viewer and stores is None:
            return await self.get_me(request)
        return json_response(
            encode_json(await self._user_views.get_user(user, request.viewer, stores))
        )

    async def change_profile(self, request: HttpRequest) -> HttpResponse:
        patch = await request.read_json(ProfilePatch)
        command = ChangeProfile(_none_if_unset(patch.name), _none_if_unset(patch.bio))
        checked_profile_change(command)  # before anything changes
        await self._registrar.change_credentials(request.actor, patch, request.client_address)
        outcome = await self.run_command(request, command)
        return done_response(Done(str(outcome.id)), outcome)

    async def delete_account(self, request: HttpRequest) -> HttpResponse:
        """The end of an account. What can be erased is erased."""
        outcome = await self.run_command(request, DeleteAccount())
        await self._ports.accounts.remove(request.actor)
        return done_response(Done(str(outcome.id), deleted=True), outcome)

    async def list_followers(self, request: HttpRequest) -> HttpResponse:
        user = await self.visible_user(request)
        return await self.users_page(request, "followers", followers.list_followers, user)

    async def list_following(self, request: HttpRequest) -> HttpResponse:
        user = await self.visible_user(request)
        return await self.users_page(request, "followers", followers.list_followed, user)


def _none_if_unset(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
