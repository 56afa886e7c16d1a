"""Requests for batches, some of which name what earlier ones make."""

from commands import idempotency
from commands.batch import DeferredRequest
from commands.decider import Command
from commands.errors import CommandRejected
from commands.handler import CommandHandler
from commands.like import Like
from commands.post import CreatePost
from commands.references import ReferenceResolver
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register


def keyed_request(key: str, command: Command, actor: int = 0) -> CommandRequest:
    """A request that happens once."""
    return CommandRequest(command, actor, idempotency.key_for_import(key, command, actor))


def post_request(key: str, who: str, text: str = "hi") -> DeferredRequest:
    """A post by a user whom an earlier request registers."""

    def build(references: ReferenceResolver) -> CommandRequest:
        return keyed_request(key, CreatePost(text), references.user_id(who))

    return build


def like_request(key: str, who: str, post: str) -> DeferredRequest:
    """A like of a post that an earlier request makes."""

    def build(references: ReferenceResolver) -> CommandRequest:
        return keyed_request(key, Like(references.post_id(post)), references.user_id(who))

    return build


def register_request(name: str) -> CommandRequest:
    """A registration whose key is the handle."""
    return keyed_request(name, Register(name, name))


async def register_people(do: CommandHandler, *names: str) -> list[int]:
    """The ids of accounts made now."""
    return [(await do.handle(CommandRequest(Register(name, name), 0))).id for name in names]


def outcome_codes(outcomes: list[CommandOutcome | CommandRejected]) -> list[str]:
    """The code of each refusal, "ok" for the rest."""
    return [one.code if isinstance(one, CommandRejected) else "ok" for one in outcomes]
