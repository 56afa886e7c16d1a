"""Moderation: what operators do to posts and accounts, and what users are told of it."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field, TypeAdapter

from api.accounts.access_tokens import USER_SCOPE
from api.http.paging import PAGE_RESPONSE, UsersPage
from api.http.request import (
    Commander,
    KeyHeader,
    PostId,
    UserReference,
    command_problems,
    fresh_views,
    json_response,
    position_header,
)
from api.http.route import ApiRoute
from api.http.tokens import Operator, Reader, requires_scope
from api.schemas import ApiModel, Done, Id, Time
from api.state import CurrentState
from commands.moderation import RemovePost, SuspendAccount, UnsuspendAccount
from events.ids.snowflake import time_ms
from events.times import rfc3339
from projections.personal_records import list_moderation_acts

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["moderation"])


class ModerationReason(ApiModel):
    """Why an operator does it. The user concerned is told."""

    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["Spam"])]


class ModerationAct(ApiModel):
    """What an operator did, and why: to an account, or to a `post` of it."""

    id: Id
    kind: Literal["post-removed", "account-suspended", "account-unsuspended"]
    reason: str
    at: Time
    post: Id | None = None


_ACTS: Final = TypeAdapter(list[ModerationAct])


async def _operator_commands(
    state: CurrentState, operator: Operator, key: KeyHeader = None
) -> Commander:
    return Commander(state, operator, key)


OperatorCommands = Annotated[Commander, Depends(_operator_commands)]
"""Runs commands of the operator who asks."""


@router.post("/posts/{id}/removal", response_model=Done, responses=command_problems(404))
async def remove_post(
    commands: OperatorCommands, post: PostId, given: ModerationReason
) -> Response:
    """Remove a post of any author's. Needs the scope `operator`."""
    outcome = await commands.run(RemovePost(post, given.reason))
    return json_response(Done(id=str(outcome.id), deleted=True), headers=position_header(outcome))


async def _user_to_moderate(ref: UserReference, state: CurrentState) -> int:
    return await state.ports.references.find_user(ref)


ModeratedUser = Annotated[int, Depends(_user_to_moderate)]


@router.put("/users/{ref}/suspension", response_model=Done, responses=command_problems(404))
async def suspend_account(
    commands: OperatorCommands, user: ModeratedUser, given: ModerationReason
) -> Response:
    """Keep an account from writing, signing in and being seen. Needs the scope `operator`."""
    outcome = await commands.run(SuspendAccount(user, given.reason))
    done = Done(id=str(outcome.id), suspended=True)
    return json_response(done, headers=position_header(outcome))


@router.post("/users/{ref}/suspension/end", response_model=Done, responses=command_problems(404))
async def end_suspension(
    commands: OperatorCommands, user: ModeratedUser, given: ModerationReason
) -> Response:
    """Let a suspended account go on. Needs the scope `operator`."""
    outcome = await commands.run(UnsuspendAccount(user, given.reason))
    done = Done(id=str(outcome.id), suspended=False)
    return json_response(done, headers=position_header(outcome))


@router.get(
    "/users/me/moderation",
    response_model=list[ModerationAct],
    responses=PAGE_RESPONSE,
    dependencies=[requires_scope(USER_SCOPE), fresh_views("personal_records")],
)
async def list_moderation(page: UsersPage, reader: Reader, state: CurrentState) -> Response:
    """What operators did to one's account and posts, and why, the newest first."""
    store = state.ports.views.current_store("personal_records")
    acts = [
        ModerationAct.model_validate(
            {
                "id": str(row.id),
                "kind": row.kind,
                "reason": row.reason,
                "at": rfc3339(time_ms(row.id)),
                "post": str(row.post) if row.post else None,
            }
        )
        for row in await list_moderation_acts(store, reader, page.request)
    ]
    body = _ACTS.dump_json(acts, exclude_none=True)
    return json_response(body, headers=page.link_header([int(act.id) for act in acts]))
