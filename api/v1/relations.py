"""PUT and DELETE on relations: between a user and a post, and between two users."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from api.http.request import HttpRequest, HttpResponse
from api.http.routing import Endpoint, RouteSpec
from api.ports import Ports
from api.schemas import Done
from api.v1.commands import CommandEndpoints, done_response, post_from_path, user_ref_from_path
from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.follow import Follow, Unfollow
from commands.like import Like, Unlike
from commands.retweet import Retweet, Unretweet

CommandFactory = Callable[[int], Command]


class RelationRoute(NamedTuple):
    """A relation's last segment, the field that says whether it holds, and its two commands."""

    segment: str
    field: str
    put: CommandFactory
    delete: CommandFactory


POST_RELATIONS: Final = (
    RelationRoute("like", "liked", Like, Unlike),
    RelationRoute("retweet", "retweeted", Retweet, Unretweet),
)
USER_RELATIONS: Final = (
    RelationRoute("follow", "followed", Follow, Unfollow),
    RelationRoute("block", "blocked", Block, Unblock),
    RelationRoute("mute", "muted", Mute, Unmute),
)


def relation_routes(ports: Ports, commands: CommandEndpoints) -> list[RouteSpec]:
    """All relations. Asking for what already holds is no error."""

    def user_from_path(call: HttpRequest) -> int:
        return ports.references.user_id(user_ref_from_path(call))

    found: list[RouteSpec] = []
    for subject, path, relations in (
        (post_from_path, "/v1/posts/{id}", POST_RELATIONS),
        (user_from_path, "/v1/users/{ref}", USER_RELATIONS),
    ):
        for relation in relations:
            for method, make in (("PUT", relation.put), ("DELETE", relation.delete)):
                holds = Done("", **{relation.field: method == "PUT"})
                found.append(
                    RouteSpec(
                        method,
                        f"{path}/{relation.segment}",
                        _relation_endpoint(commands, subject, make, holds),
                        f"{make.__name__} a {'post' if subject is post_from_path else 'user'}",
                        Done,
                        scope="user",
                        command=True,
                        problem_statuses=(403, 404, 422),
                    )
                )
    return found


def _relation_endpoint(
    commands: CommandEndpoints,
    subject: Callable[[HttpRequest], int],
    make: CommandFactory,
    holds: Done,
) -> Endpoint:
    async def change_relation(call: HttpRequest) -> HttpResponse:
        outcome = await commands.run_command(call, make(subject(call)))
        answer = msgspec.structs.replace(holds, id=str(outcome.id))
        return done_response(answer, outcome)

    return change_relation
