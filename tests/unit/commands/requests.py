"""Requests for batches, some of which name what earlier ones make."""

from commands import keys
from commands.decider import Command
from commands.errors import Rejected
from commands.handle import Handler, Later, Outcome, Request
from commands.like import Like
from commands.post import CreatePost
from commands.references import References
from commands.user import Register


def keyed(key: str, command: Command, actor: int = 0) -> Request:
    """A request that happens once."""
    return Request(command, actor, keys.of_import(key, command, actor))


def posting(key: str, who: str, text: str = "hi") -> Later:
    """A post by somebody whom an earlier request registers."""

    def build(references: References) -> Request:
        return keyed(key, CreatePost(text), references.user(who))

    return build


def liking(key: str, who: str, post: str) -> Later:
    """A like of a post that an earlier request makes."""

    def build(references: References) -> Request:
        return keyed(key, Like(references.post(post)), references.user(who))

    return build


def register(name: str) -> Request:
    """A registration whose key is the handle."""
    return keyed(name, Register(name, name))


async def people(do: Handler, *names: str) -> list[int]:
    """The ids of accounts made now."""
    return [(await do.handle(Request(Register(name, name), 0))).id for name in names]


def codes(came: list[Outcome | Rejected]) -> list[str]:
    """The code of each refusal, "ok" for the rest."""
    return [one.code if isinstance(one, Rejected) else "ok" for one in came]
