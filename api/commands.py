"""The commands of the contract: what a client sends becomes a command, its outcome an answer."""

from typing import Final

import msgspec

from api.auth import USER, unauthorized
from api.call import Answer, Call, json_answer
from api.errors import Headers
from api.people import People
from api.ports import Ports
from api.present import Posts
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
from api.signing import Signing
from api.times import id_in
from commands import keys
from commands.decider import Command
from commands.errors import Invalid, NotAllowed, NotFound
from commands.handle import Outcome, Request
from commands.lines import Credentials
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.user import ChangeProfile, DeleteAccount, Register, checked_change

_json = msgspec.json.Encoder().encode

_GONE: Final = ("account-deleted", "account-unknown")


class Commands:
    """Does what clients ask for; each method is a handler of `api.routes`."""

    def __init__(self, ports: Ports, signing: Signing, shown: Posts, people: People) -> None:
        self._ports = ports
        self._people = people
        self._signing = signing
        self._shown = shown

    async def do(self, call: Call, command: Command) -> Outcome:
        """Do a command for who calls, once for each `Idempotency-Key`."""
        actor = call.actor
        given = idempotency_key(call)
        key = keys.of_user(actor, given, command) if given is not None else None
        try:
            return await self._ports.handler.handle(Request(command, actor, key))
        except NotAllowed as refusal:
            if refusal.code in _GONE:
                raise unauthorized(refusal.code, str(refusal)) from refusal
            raise

    async def register(self, call: Call) -> Answer:
        """A new account, signed in."""
        new = await call.read(NewUser)
        command = Register(new.handle, new.name, new.bio)
        given = idempotency_key(call)
        key = keys.of_registration(given, command) if given is not None else None
        outcome = await self._signing.join(
            Request(command, 0, key), Credentials(new.email, new.password)
        )
        user = self._people.new(outcome.id)
        token = self._ports.tokens.issue(outcome.id)
        answer = Registered(**msgspec.structs.asdict(user) | {"email": new.email, "token": token})
        return json_answer(_json(answer), 201, position_of(outcome))

    async def sign_in(self, call: Call) -> Answer:
        """A token for a handle and a password."""
        user = await self._signing.sign_in(await call.read(SignIn), call.address)
        return json_answer(_json(Token(self._ports.tokens.issue(user, (USER,)), str(user))), 201)

    async def change_profile(self, call: Call) -> Answer:
        """Another name, bio, email address or password."""
        patch = await call.read(ProfilePatch)
        command = ChangeProfile(_given(patch.name), _given(patch.bio))
        checked_change(command)  # before anything changes
        await self._signing.change(call.actor, patch, call.address)
        outcome = await self.do(call, command)
        return done(Done(str(outcome.id)), outcome)

    async def delete_account(self, call: Call) -> Answer:
        """The end of an account. What can be erased is erased."""
        outcome = await self.do(call, DeleteAccount())
        await self._ports.accounts.remove(call.actor)
        return done(Done(str(outcome.id), deleted=True), outcome)

    async def post(self, call: Call) -> Answer:
        """A new post."""
        new = await call.read(NewPost)
        reply_to = int(new.reply_to) if new.reply_to is not None else None
        return await self._made(call, CreatePost(new.text, reply_to, tuple(new.media)))

    async def comment(self, call: Call) -> Answer:
        """An answer to a post."""
        new = await call.read(NewComment)
        return await self._made(call, Comment(post_in(call), new.text, tuple(new.media)))

    async def _made(self, call: Call, command: Command) -> Answer:
        outcome = await self.do(call, command)
        return json_answer(await self._shown.made(outcome), 201, position_of(outcome))

    async def edit_post(self, call: Call) -> Answer:
        """Another text for a post of one's own."""
        edited = await call.read(EditedPost)
        outcome = await self.do(call, EditPost(post_in(call), edited.text))
        return done(Done(str(outcome.id)), outcome)

    async def delete_post(self, call: Call) -> Answer:
        """The end of a post of one's own."""
        outcome = await self.do(call, DeletePost(post_in(call)))
        return done(Done(str(outcome.id), deleted=True), outcome)


def idempotency_key(call: Call) -> str | None:
    """The request's `Idempotency-Key`, if it has one."""
    value = call.header(b"idempotency-key")
    return value.decode("latin-1") if value is not None else None


def position_of(outcome: Outcome) -> Headers:
    """The header by which a client reads its own write."""
    return [(b"starling-position", b"%d" % outcome.position)]


def done(what: Done, outcome: Outcome) -> Answer:
    """The answer to a command that made nothing new."""
    return json_answer(_json(what), 200, position_of(outcome))


def post_in(call: Call) -> int:
    """The post in the address. Raises `NotFound` for what can't be one."""
    post = id_in(call.params[0])
    if not post:
        raise no_such_post(call.params[0])
    return post


def user_ref(call: Call) -> str:
    """The id or `@handle` in the address. Raises `Invalid` for anything else."""
    ref = call.params[0]
    if not ref.startswith("@") and not id_in(ref):
        raise Invalid("reference-invalid", f"{ref!r} names no user; give an id or an @handle")
    return ref


def no_such_post(ref: str) -> NotFound:
    """The refusal of a post that is not there."""
    return NotFound("post-not-found", f"there is no post {ref} (any more); check the id")


def _given(value: str | msgspec.UnsetType) -> str | None:
    return None if value is msgspec.UNSET else value
