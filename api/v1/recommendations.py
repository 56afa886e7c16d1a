"""`/v1/recommendations`: users to follow and posts to read, each with the reason."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import problems
from api.http.paging import DEFAULT_LIMIT, MAX_POSTS, MAX_USERS, LimitQuery
from api.http.request import (
    QUERY_PROBLEMS,
    Commands,
    UserReference,
    command_problems,
    fresh_views,
    json_response,
    position_header,
)
from api.http.route import ApiRoute
from api.http.tokens import Reader, requires_scope
from api.schemas import ApiModel, Count, Done, Post, User, UserRef, encode_json
from api.state import ApiState, CurrentState
from api.v1.posts import POST_VIEWS
from api.views.recommendations import find_posts_to_read, find_users_to_follow
from api.views.users import USER_VIEWS
from commands.dismissal import DismissRecommendation
from projections.profiles import read_profiles

MAX_NAMED: Final = 3
"""Users whom a reason names."""

router = APIRouter(route_class=ApiRoute, prefix="/v1/recommendations", tags=["recommendations"])


class RecommendationReason(ApiModel):
    """Why something is recommended, as a kind and in words.

    `users` are at most three of those whom the words speak of, `others` counts the rest. Of a
    user, `followed_by` speaks of accounts that one follows, `co_followed` of those that are
    followed together with it; a post is `liked_by` or `retweeted_by` accounts that one follows.
    """

    kind: Literal["followed_by", "co_followed", "popular", "liked_by", "retweeted_by"]
    text: Annotated[str, Field(examples=["followed by @ada and 3 others you follow"])]
    users: list[UserRef]
    others: Count


class UserRecommendation(ApiModel):
    """A user to follow."""

    user: User
    reason: RecommendationReason


class PostRecommendation(ApiModel):
    """A post to read."""

    post: Post
    reason: RecommendationReason


@router.get(
    "/users",
    responses=QUERY_PROBLEMS | problems(403),
    dependencies=[
        requires_scope(USER_SCOPE),
        fresh_views("recommendations", "timeline", *USER_VIEWS),
    ],
)
async def recommended_users(
    reader: Reader, state: CurrentState, limit: LimitQuery = DEFAULT_LIMIT
) -> list[UserRecommendation]:
    """Users to follow, the best first."""
    found = await find_users_to_follow(state, reader, min(limit, MAX_USERS))
    users = await state.user_views.get_users([one.user for one in found], reader)
    reasons = {one.user: one.reason for one in found}
    named = await _named_users(state, [reason.users for reason in reasons.values()])
    return [
        UserRecommendation(user=user, reason=_reason(*reasons[int(user.id)], named))
        for user in users
    ]


@router.get(
    "/posts",
    response_model=list[PostRecommendation],
    responses=QUERY_PROBLEMS | problems(403),
    dependencies=[requires_scope(USER_SCOPE), fresh_views(*POST_VIEWS)],
)
async def recommended_posts(
    reader: Reader, state: CurrentState, limit: LimitQuery = DEFAULT_LIMIT
) -> Response:
    """Posts of the last three days that users whom one follows liked or retweeted, best first."""
    found = await find_posts_to_read(state, reader, min(limit, MAX_POSTS))
    named = await _named_users(state, [one.users for one, _ in found])
    parts: list[bytes] = []
    for one, post in found:
        reason = _reason(one.kind, one.users, named).model_dump()
        parts.append(b'{"post":%s,"reason":%s}' % (post, encode_json(reason)))
    return json_response(b"[" + b",".join(parts) + b"]")


@router.delete(
    "/users/{ref}", response_model=Done, responses=command_problems(404), name="dismiss_user"
)
async def dismiss_user(commands: Commands, ref: UserReference, state: CurrentState) -> Response:
    """Don't recommend a user again."""
    user = await state.ports.references.find_user(ref)
    outcome = await commands.run(DismissRecommendation(user))
    done = Done(id=str(outcome.id), dismissed=True)
    return json_response(done, headers=position_header(outcome))


async def _named_users(state: ApiState, groups: Collection[Sequence[int]]) -> Mapping[int, UserRef]:
    """The users that reasons may name, without deleted ones."""
    users = {user for group in groups for user in group[:MAX_NAMED]}
    rows = await read_profiles(state.ports.views.current_store("profiles"), users)
    open_text = state.ports.open_text
    return {
        user: UserRef(id=str(user), handle=row.handle, name=open_text(row.name))
        for user, row in rows.items()
    }


def _reason(kind: str, users: Sequence[int], named: Mapping[int, UserRef]) -> RecommendationReason:
    """A reason in words; one of which no user is left is that it is popular."""
    shown = [named[user] for user in users[:MAX_NAMED] if user in named]
    if not shown:
        return RecommendationReason(kind="popular", text="followed by many", users=[], others=0)
    first = f"@{shown[0].handle}"
    if kind == "co_followed":
        text = f"often followed together with {first}"
    else:
        text = f"{kind.removesuffix('_by')} by {first}"
        if more := len(users) - 1:
            text += f" and {more} {'other' if more == 1 else 'others'} you follow"
    return RecommendationReason.model_validate(
        {"kind": kind, "text": text, "users": shown, "others": len(users) - len(shown)}
    )
