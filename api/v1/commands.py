"""The commands of the contract: what a client sends becomes a command, its outcome an answer."""

from typing import Final

import msgspec

from api.accounts.registration import AccountRegistrar
from api.http.errors import Headers
from api.http.request import HttpRequest, HttpResponse, json_response
from api.http.tokens import USER_SCOPE, unauthorized
from api.ports import Ports
from api.schemas import (
    Done,
    EditedPost,
    NewComment,
    NewPost,
    NewUser,
    ProfilePatch,
    Registered,
    SignIn,
    Token,
)
from api.views.ids_and_times import parse_id
from api.views.posts import PostViews
from api.views.users import UserViews
from commands import idempotency
from commands.decider import Command
from commands.errors import InvalidInput, NotAllowed, NotFound
from commands.import_line import Credentials
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.request import CommandOutcome, CommandRequest
from commands.user import ChangeProfile, DeleteAccount, Register, checked_profile_change

_encode_json = msgspec.json.Encoder().encode

_GONE_CODES: Final = ("account-deleted", "account-unknown")


class CommandEndpoints:
    """Does what clients ask for; each method is a handler of `api.http.routing`."""

    def __init__(
        self, ports: Ports, signing: AccountRegistrar, shown: PostViews, people: UserViews
    ) -> None:
        self._ports = ports
        self._user_views = people
        self._registrar = signing
        self._post_views = shown

    async def run_command(self, call: HttpRequest, command: Command) -> CommandOutcome:
        """Do a command for who calls, once for each `Idempotency-Key`."""
        actor = call.actor
        given = idempotency_key(call)
        key = idempotency.key_for_user(actor, given, command) if given is not None else None
        try:
            return await self._ports.handler.handle(CommandRequest(command, actor, key))
        except NotAllowed as refusal:
            if refusal.code in _GONE_CODES:
                raise unauthorized(refusal.code, str(refusal)) from refusal
            raise

    async def register_user(self, call: HttpRequest) -> HttpResponse:
        """A new account, signed in."""
        new = await call.read_json(NewUser)
        command = Register(new.handle, new.name, new.bio)
        given = idempotency_key(call)
        key = idempotency.key_for_registration(given, command) if given is not None else None
        outcome = await self._registrar.register_account(
            CommandRequest(command, 0, key), Credentials(new.email, new.password)
        )
        user = self._user_views.user_from_log(outcome.id)
        token = self._ports.tokens.issue(outcome.id)
        answer = Registered(**msgspec.structs.asdict(user) | {"email": new.email, "token": token})
        return json_response(_encode_json(answer), 201, position_header(outcome))

    async def sign_in(self, call: HttpRequest) -> HttpResponse:
        """A token for a handle and a password."""
        user = await self._registrar.sign_in(await call.read_json(SignIn), call.client_address)
        return json_response(
            _encode_json(Token(self._ports.tokens.issue(user, (USER_SCOPE,)), str(user))), 201
        )

    async def change_profile(self, call: HttpRequest) -> HttpResponse:
        """Another name, bio, email address or password."""
        patch = await call.read_json(ProfilePatch)
        command = ChangeProfile(_none_if_unset(patch.name), _none_if_unset(patch.bio))
        checked_profile_change(command)  # before anything changes
        await self._registrar.change_credentials(call.actor, patch, call.client_address)
        outcome = await self.run_command(call, command)
        return done_response(Done(str(outcome.id)), outcome)

    async def delete_account(self, call: HttpRequest) -> HttpResponse:
        """The end of an account. What can be erased is erased."""
        outcome = await self.run_command(call, DeleteAccount())
        await self._ports.accounts.remove(call.actor)
        return done_response(Done(str(outcome.id), deleted=True), outcome)

    async def create_post(self, call: HttpRequest) -> HttpResponse:
        """A new post."""
        new = await call.read_json(NewPost)
        reply_to = int(new.reply_to) if new.reply_to is not None else None
        return await self._run_creation(call, CreatePost(new.text, reply_to, tuple(new.media)))

    async def create_comment(self, call: HttpRequest) -> HttpResponse:
        """An answer to a post."""
        new = await call.read_json(NewComment)
        return await self._run_creation(
            call, Comment(post_from_path(call), new.text, tuple(new.media))
        )

    async def _run_creation(self, call: HttpRequest, command: Command) -> HttpResponse:
        outcome = await self.run_command(call, command)
        return json_response(
            await self._post_views.render_created(outcome), 201, position_header(outcome)
        )

    async def edit_post(self, call: HttpRequest) -> HttpResponse:
        """Another text for a post of one's own."""
        edited = await call.read_json(EditedPost)
        outcome = await self.run_command(call, EditPost(post_from_path(call), edited.text))
        return done_response(Done(str(outcome.id)), outcome)

    async def delete_post(self, call: HttpRequest) -> HttpResponse:
        """The end of a post of one's own."""
        outcome = await self.run_command(call, DeletePost(post_from_path(call)))
        return done_response(Done(str(outcome.id), deleted=True), outcome)


def idempotency_key(call: HttpRequest) -> str | None:
    """The request's `Idempotency-Key`, if it has one."""
    value = call.header(b"idempotency-key")
    return value.decode("latin-1") if value is not None else None


def position_header(outcome: CommandOutcome) -> Headers:
    """The header by which a client reads its own write."""
    return [(b"starling-position", b"%d" % outcome.position)]


def done_response(what: Done, outcome: CommandOutcome) -> HttpResponse:
    """The answer to a command that made nothing new."""
    return json_response(_encode_json(what), 200, position_header(outcome))


def post_from_path(call: HttpRequest) -> int:
    """The post in the address. Raises `NotFound` for what can't be one."""
    post = parse_id(call.params[0])
    if not post:
        raise no_such_post(call.params[0])
    return post


def user_ref_from_path(call: HttpRequest) -> str:
    """The id or `@handle` in the address. Raises `InvalidInput` for anything else."""
    ref = call.params[0]
    if not ref.startswith("@") and not parse_id(ref):
        raise InvalidInput("reference-invalid", f"{ref!r} names no user; give an id or an @handle")
    return ref


def no_such_post(ref: str) -> NotFound:
    """The refusal of a post that is not there."""
    return NotFound("post-not-found", f"there is no post {ref} (any more); check the id")


def _none_if_unset(value: str | msgspec.UnsetType) -> str | None:
    return None if value is msgspec.UNSET else value
