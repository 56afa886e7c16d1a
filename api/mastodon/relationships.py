"""Relationships to other accounts, and what changes them."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import Field

from api.http.request import Commands
from api.http.tokens import Reader
from api.mastodon.client_request import AccountSubject, entity, run_seen
from api.mastodon.parameters import ClientParameters, Texts, reads
from api.state import ApiState, CurrentState
from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.follow import Follow, Unfollow
from events.ids.snowflake import parse_decimal
from projections.home.viewer import read_relations

_MOST_AT_ONCE: Final = 80

_ACTIONS: Final[dict[str, Callable[[int], Command]]] = {
    "follow": Follow,
    "unfollow": Unfollow,
    "block": Block,
    "unblock": Unblock,
    "mute": Mute,
    "unmute": Unmute,
}

router = APIRouter(prefix="/api/v1/accounts", include_in_schema=False)


class AccountIds(ClientParameters):
    """The accounts that are asked for."""

    id: Texts = Field(default_factory=list)


async def render_relationships(
    state: ApiState, viewer: int, users: Collection[int]
) -> list[dict[str, Any]]:
    """The entities `Relationship`, in the order asked for; unknown accounts are left out."""
    there = await state.statuses.accounts.handles(users)
    store = state.ports.views.current_store("timeline")
    relations = await read_relations(store, viewer, there)
    return [
        {
            "id": str(user),
            **relations[user]._asdict(),
            "showing_reblogs": relations[user].following,
            "notifying": False,
            "languages": None,
            "muting_notifications": relations[user].muting,
            "requested": False,
            "requested_by": False,
            "domain_blocking": False,
            "endorsed": False,
            "note": "",
        }
        for user in dict.fromkeys(users)
        if user in there
    ]


@router.get("/relationships")
async def relationships(
    reader: Reader, state: CurrentState, wanted: Annotated[AccountIds, reads(AccountIds)]
) -> Response:
    """What holds between oneself and some accounts."""
    ids = [id for text in wanted.id[:_MOST_AT_ONCE] if (id := parse_decimal(text))]
    return entity(await render_relationships(state, reader, ids))


def _endpoint(create_command: Callable[[int], Command]) -> Callable[..., Awaitable[Response]]:
    async def endpoint(commands: Commands, user: AccountSubject, state: CurrentState) -> Response:
        await run_seen(state, commands, create_command(user))
        found = await render_relationships(state, commands.actor, (user,))
        return entity(found[0] if found else {})

    return endpoint


for _action, _command in _ACTIONS.items():
    router.add_api_route(
        f"/{{id}}/{_action}", _endpoint(_command), methods=["POST"], name=f"{_action}_account"
    )
