"""Favourites, reblogs, bookmarks and pins of a status, who made the former two, and its mutes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter

from api.http.request import Commander, Commands, blocked_users
from api.http.tokens import Viewer
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import AccountsPage, ClientPage
from api.mastodon.client_request import StatusId, VisibleStatus, render_status, run_seen
from api.mastodon.entities import EntityResponse, entity
from api.mastodon.status_entities import StatusEntity
from api.state import ApiState, CurrentState
from commands.bookmark import Bookmark, Unbookmark
from commands.decider import Command
from commands.like import Like, Unlike
from commands.muted_conversation import MuteConversation, UnmuteConversation
from commands.pin import Pin, Unpin
from commands.retweet import Retweet, Unretweet
from projections import posts
from projections.timeline import TimelineEntry
from projections.timeline_pages import find_retweet_by

router = APIRouter(prefix="/api/v1/statuses/{id}", tags=["mastodon"])

_ACTIONS: Final[Mapping[str, Callable[[int], Command]]] = {
    "favourite": Like,
    "unfavourite": Unlike,
    "unreblog": Unretweet,
    "bookmark": Bookmark,
    "unbookmark": Unbookmark,
    "pin": Pin,
    "unpin": Unpin,
}
"""What is done to a status by its last segment; the answer is the post as it is then."""


def _endpoint(create_command: Callable[[int], Command]) -> Callable[..., Awaitable[Any]]:
    async def endpoint(
        commands: Commands, post: StatusId, state: CurrentState
    ) -> EntityResponse[StatusEntity]:
        await run_seen(state, commands, create_command(post))
        return entity(await render_status(state, post, commands.actor))

    return endpoint


for _action, _command in _ACTIONS.items():
    router.add_api_route(
        f"/{_action}", _endpoint(_command), methods=["POST"], name=f"{_action}_status"
    )


@router.post("/reblog")
async def reblog(
    commands: Commands, post: StatusId, state: CurrentState
) -> EntityResponse[StatusEntity]:
    """Retweet a post; the answer is the retweet, with the post inside."""
    await run_seen(state, commands, Retweet(post))
    store = state.ports.views.current_store("timeline")
    id = await find_retweet_by(store, commands.actor, post)
    if id is None:
        return entity(await render_status(state, post, commands.actor))
    wrapper = TimelineEntry(id, post, commands.actor)
    return entity((await state.statuses.render((wrapper,), commands.actor))[0])


@router.post("/mute")
async def mute_conversation(
    commands: Commands, post: VisibleStatus, state: CurrentState
) -> EntityResponse[StatusEntity]:
    """Have no notifications of the thread that a post is in."""
    first = await state.muted_conversations.first_post(post)
    await run_seen(state, commands, MuteConversation(first))
    return entity(await render_status(state, post, commands.actor))


@router.post("/unmute")
async def unmute_conversation(
    commands: Commands, post: VisibleStatus, state: CurrentState
) -> EntityResponse[StatusEntity]:
    """Have notifications of the thread that a post is in again."""
    # An idempotency key is for one command; a thread may be muted at several of its posts.
    each = Commander(state, commands.actor, None)
    for muted in await state.muted_conversations.mutes_of(commands.actor, post):
        await run_seen(state, each, UnmuteConversation(muted))
    return entity(await render_status(state, post, commands.actor))


@router.get("/favourited_by")
async def favourited_by(
    post: VisibleStatus, page: AccountsPage, viewer: Viewer, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """Who likes a post, the newest like first."""
    store = state.ports.views.current_store("posts")
    return await accounts_page(
        state, page, await posts.list_likers(store, post, page.wanted), viewer
    )


@router.get("/reblogged_by")
async def reblogged_by(
    post: VisibleStatus, page: AccountsPage, viewer: Viewer, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """Who retweeted a post, the newest retweet first."""
    store = state.ports.views.current_store("posts")
    return await accounts_page(
        state, page, await posts.list_retweeters(store, post, page.wanted), viewer
    )


async def accounts_page(
    state: ApiState, page: ClientPage, rows: Any, viewer: int
) -> EntityResponse[list[AccountEntity]]:
    """A page of accounts; rows are (cursor, user). Blocked and blocking ones are left out."""
    blocked = await blocked_users(state, viewer)
    users = [user for _, user in rows if user not in blocked]
    body = await state.statuses.accounts.render_list(users)
    return entity(body, page.link_header([id for id, _ in rows]))
