"""PUT and DELETE on relations: between a user and a post, and between two users."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from api.call import Answer, Call
from api.commands import Commands, done, post_in, user_ref
from api.ports import Ports
from api.routes import Handle, Operation
from api.schemas import Done
from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.follow import Follow, Unfollow
from commands.like import Like, Unlike
from commands.retweet import Retweet, Unretweet

Make = Callable[[int], Command]


class Relation(NamedTuple):
    """A relation's last segment, the field that says whether it holds, and its two commands."""

    segment: str
    field: str
    put: Make
    delete: Make


TO_POSTS: Final = (
    Relation("like", "liked", Like, Unlike),
    Relation("retweet", "retweeted", Retweet, Unretweet),
)
TO_USERS: Final = (
    Relation("follow", "followed", Follow, Unfollow),
    Relation("block", "blocked", Block, Unblock),
    Relation("mute", "muted", Mute, Unmute),
)


def operations(ports: Ports, commands: Commands) -> list[Operation]:
    """All relations. Asking for what already holds is no error."""

    def user_in(call: Call) -> int:
        return ports.references.user(user_ref(call))

    found: list[Operation] = []
    for subject, path, relations in (
        (post_in, "/v1/posts/{id}", TO_POSTS),
        (user_in, "/v1/users/{ref}", TO_USERS),
    ):
        for relation in relations:
            for method, make in (("PUT", relation.put), ("DELETE", relation.delete)):
                holds = Done("", **{relation.field: method == "PUT"})
                found.append(
                    Operation(
                        method,
                        f"{path}/{relation.segment}",
                        _handle(commands, subject, make, holds),
                        f"{make.__name__} a {'post' if subject is post_in else 'user'}",
                        Done,
                        scope="user",
                        command=True,
                        problems=(403, 404, 422),
                    )
                )
    return found


def _handle(commands: Commands, subject: Callable[[Call], int], make: Make, holds: Done) -> Handle:
    async def handle(call: Call) -> Answer:
        outcome = await commands.do(call, make(subject(call)))
        answer = msgspec.structs.replace(holds, id=str(outcome.id))
        return done(answer, outcome)

    return handle
