"""PUT and DELETE on relations: between a user and a post, and between two users.

A request for what already holds is no error.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.accounts.access_tokens import USER_SCOPE
from api.http.request import (
    Commander,
    Commands,
    PostId,
    UserReference,
    VisiblePost,
    command_problems,
    fresh_views,
    json_response,
    position_header,
    post_from_path,
)
from api.http.route import ApiRoute
from api.http.tokens import requires_scope
from api.schemas import ApiModel, Done
from api.state import CurrentState
from commands.block import Block, Mute, Unblock, Unmute
from commands.bookmark import Bookmark, Unbookmark
from commands.decider import Command
from commands.event_filter_parser import checked_time
from commands.follow import Follow, RemoveFollower, Unfollow
from commands.like import Like, Unlike
from commands.muted_conversation import MuteConversation, UnmuteConversation
from commands.pin import Pin, Unpin
from commands.retweet import Retweet, Unretweet

SubjectFromPath = Callable[..., Awaitable[int]]
"""A dependency: the post or user in the address."""


class MuteRequest(ApiModel):
    """How long a mute holds: until a time, for some seconds, or for good; and whether its user's
    notifications are muted, too.
    """

    until: Annotated[
        str | None, Field(description="RFC 3339, or an id", examples=["2027-01-01T00:00:00Z"])
    ] = None
    seconds: Annotated[int | None, Field(ge=1, examples=[3600])] = None
    notifications: Annotated[bool, Field(examples=[False])] = True


FOR_GOOD: Final = MuteRequest()


class Relation(NamedTuple):
    """A relation's last segment, the field that says whether it holds, and its two commands."""

    segment: str
    field: str
    put: Callable[[int], Command]
    delete: Callable[[int], Command]


POST_RELATIONS: Final = (
    Relation("like", "liked", Like, Unlike),
    Relation("retweet", "retweeted", Retweet, Unretweet),
)
"""Those that carry the load."""
OWN_POST_RELATIONS: Final = (
    Relation("bookmark", "bookmarked", Bookmark, Unbookmark),
    Relation("pin", "pinned", Pin, Unpin),
)
USER_RELATIONS: Final = (
    Relation("follow", "followed", Follow, Unfollow),
    Relation("block", "blocked", Block, Unblock),
)

router = APIRouter(route_class=ApiRoute, prefix="/v1")


async def change_relation(
    create_command: Callable[[int], Command],
    field: str,
    holds: bool,
    subject: int,
    commands: Commander,
) -> Response:
    """Run a command on a subject, and say what holds now."""
    outcome = await commands.run(create_command(subject))
    done = Done(id=str(outcome.id), **{field: holds})
    return json_response(done, headers=position_header(outcome))


async def _user_from_path(ref: UserReference, state: CurrentState) -> int:
    return await state.ports.references.find_user(ref)


def _add_routes(path: str, subject_from_path: SubjectFromPath, relation: Relation) -> None:
    for method, create_command in (("PUT", relation.put), ("DELETE", relation.delete)):
        verb = create_command.__name__.lower()
        kind = path.removeprefix("/").partition("/")[0]
        router.add_api_route(
            f"{path}/{relation.segment}",
            _endpoint(subject_from_path, create_command, relation.field, method == "PUT"),
            methods=[method],
            name=f"{verb}_{kind.removesuffix('s')}",
            tags=[kind],
            response_model=Done,
            responses=command_problems(404),
        )


def _endpoint(
    subject_from_path: SubjectFromPath,
    create_command: Callable[[int], Command],
    field: str,
    holds: bool,
) -> Callable[..., Awaitable[Response]]:
    async def endpoint(
        commands: Commands, subject: Annotated[int, Depends(subject_from_path)]
    ) -> Response:
        return await change_relation(create_command, field, holds, subject, commands)

    return endpoint


for _relation in (*POST_RELATIONS, *OWN_POST_RELATIONS):
    _add_routes("/posts/{id}", post_from_path, _relation)
for _relation in USER_RELATIONS:
    _add_routes("/users/{ref}", _user_from_path, _relation)


UserInPath = Annotated[int, Depends(_user_from_path)]


@router.put(
    "/users/{ref}/mute", response_model=Done, responses=command_problems(404), tags=["users"]
)
async def mute_user(
    commands: Commands, user: UserInPath, terms: MuteRequest = FOR_GOOD
) -> Response:
    """Mute, for good or for a while. The terms of now replace those of before."""
    until = None if terms.until is None else checked_time(terms.until)
    notifications = None if terms.notifications else False
    command = Mute(user, until, terms.seconds, notifications)
    return await change_relation(lambda _: command, "muted", True, user, commands)


@router.delete(
    "/users/{ref}/mute", response_model=Done, responses=command_problems(404), tags=["users"]
)
async def unmute_user(commands: Commands, user: UserInPath) -> Response:
    """End the mute."""
    return await change_relation(Unmute, "muted", False, user, commands)


@router.delete(
    "/users/me/followers/{ref}",
    response_model=Done,
    responses=command_problems(404),
    tags=["users"],
)
async def remove_follower(commands: Commands, user: UserInPath) -> Response:
    """Have a user no longer follow oneself. The user may follow again: a block keeps away."""
    return await change_relation(RemoveFollower, "followed_by", False, user, commands)


_THREAD_VIEWS: Final = [requires_scope(USER_SCOPE), fresh_views("posts", "personal_records")]


@router.put(
    "/posts/{id}/thread/mute",
    response_model=Done,
    responses=command_problems(404),
    dependencies=_THREAD_VIEWS,
    tags=["posts"],
)
async def mute_thread(post: VisiblePost, commands: Commands, state: CurrentState) -> Response:
    """Have no notifications of the thread that a post is in. The `id` is that of its first post."""
    first = await state.muted_conversations.first_post(post)
    return await change_relation(MuteConversation, "muted", True, first, commands)


@router.delete(
    "/posts/{id}/thread/mute",
    response_model=Done,
    responses=command_problems(404),
    dependencies=_THREAD_VIEWS,
    tags=["posts"],
)
async def unmute_thread(post: PostId, commands: Commands, state: CurrentState) -> Response:
    """Have notifications of the thread that a post is in again."""
    first = await state.muted_conversations.first_post(post)
    # It may be muted further down, too. An idempotency key is for one command.
    each = Commander(state, commands.actor, None)
    for muted in await state.muted_conversations.mutes_of(commands.actor, post) - {first}:
        await each.run(UnmuteConversation(muted))
    return await change_relation(UnmuteConversation, "muted", False, first, commands)
