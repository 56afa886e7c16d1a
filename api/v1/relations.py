"""PUT and DELETE on relations: between a user and a post, and between two users."""

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import structs

from api.accounts.access_tokens import USER_SCOPE
from api.http.messages import HttpRequest, HttpResponse
from api.http.routing import Endpoint, RouteSpec
from api.schemas import Done
from api.v1.resource import Resource, done_response, post_from_path, user_ref_from_path
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


class RelationsResource(Resource):
    """All relations. A request for what already holds is no error."""

    def routes(self) -> list[RouteSpec]:
        subjects = (
            ("post", "/v1/posts/{id}", post_from_path, POST_RELATIONS),
            ("user", "/v1/users/{ref}", self._user_from_path, USER_RELATIONS),
        )
        return [
            RouteSpec(
                method, f"{path}/{relation.segment}",
                self._endpoint(from_path, create_command, relation.field, method == "PUT"),
                f"{create_command.__name__} a {subject}", Done, scope=USER_SCOPE, command=True,
                problem_statuses=(403, 404, 422),
            )
            for subject, path, from_path, relations in subjects
            for relation in relations
            for method, create_command in (("PUT", relation.put), ("DELETE", relation.delete))
        ]  # fmt: skip

    def _user_from_path(self, request: HttpRequest) -> int:
        return self._ports.references.user_id(user_ref_from_path(request))

    def _endpoint(
        self,
        subject_from_path: Callable[[HttpRequest], int],
        create_command: CommandFactory,
        field: str,
        holds: bool,
    ) -> Endpoint:
        template = Done("", **{field: holds})

        async def change_relation(request: HttpRequest) -> HttpResponse:
            outcome = await self.run_command(request, create_command(subject_from_path(request)))
            return done_response(structs.replace(template, id=str(outcome.id)), outcome)

        return change_relation
