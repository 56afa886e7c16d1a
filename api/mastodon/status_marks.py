"""Favourites, reblogs, bookmarks and pins of a status, and who made the former two."""

from typing import Any

from fastapi import APIRouter, Response

from api.http.request import Commands, blocked_users, json_response
from api.http.tokens import Viewer
from api.mastodon.client_pages import AccountsPage, ClientPage
from api.mastodon.client_request import StatusId, VisibleStatus, entity, render_status, run_seen
from api.state import ApiState, CurrentState
from commands.bookmark import Bookmark, Unbookmark
from commands.like import Like, Unlike
from commands.pin import Pin, Unpin
from commands.retweet import Retweet, Unretweet
from projections import posts
from projections.timeline import TimelineEntry
from projections.timeline_lists import find_retweet_by

router = APIRouter(prefix="/api/v1/statuses/{id}", include_in_schema=False)


@router.post("/favourite")
async def favourite(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Like a post."""
    await run_seen(state, commands, Like(post))
    return entity(await render_status(state, post, commands.actor))


@router.post("/unfavourite")
async def unfavourite(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Take a like back."""
    await run_seen(state, commands, Unlike(post))
    return entity(await render_status(state, post, commands.actor))


@router.post("/reblog")
async def reblog(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Retweet a post; the answer is the retweet, with the post inside."""
    await run_seen(state, commands, Retweet(post))
    store = state.ports.views.current_store("timeline")
    id = await find_retweet_by(store, commands.actor, post)
    if id is None:
        return entity(await render_status(state, post, commands.actor))
    wrapper = TimelineEntry(id, post, commands.actor)
    return entity((await state.statuses.render((wrapper,), commands.actor))[0])


@router.post("/unreblog")
async def unreblog(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Take a retweet back; the answer is the post."""
    await run_seen(state, commands, Unretweet(post))
    return entity(await render_status(state, post, commands.actor))


@router.post("/bookmark")
async def bookmark(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Bookmark a post."""
    await run_seen(state, commands, Bookmark(post))
    return entity(await render_status(state, post, commands.actor))


@router.post("/unbookmark")
async def unbookmark(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Take a bookmark back."""
    await run_seen(state, commands, Unbookmark(post))
    return entity(await render_status(state, post, commands.actor))


@router.post("/pin")
async def pin(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Pin a post of one's own to the profile."""
    await run_seen(state, commands, Pin(post))
    return entity(await render_status(state, post, commands.actor))


@router.post("/unpin")
async def unpin(commands: Commands, post: StatusId, state: CurrentState) -> Response:
    """Take a pin back."""
    await run_seen(state, commands, Unpin(post))
    return entity(await render_status(state, post, commands.actor))


@router.get("/favourited_by")
async def favourited_by(
    post: VisibleStatus, page: AccountsPage, viewer: Viewer, state: CurrentState
) -> Response:
    """Who likes a post, the newest like first."""
    store = state.ports.views.current_store("posts")
    return await accounts_page(
        state, page, await posts.list_likers(store, post, page.wanted), viewer
    )


@router.get("/reblogged_by")
async def reblogged_by(
    post: VisibleStatus, page: AccountsPage, viewer: Viewer, state: CurrentState
) -> Response:
    """Who retweeted a post, the newest retweet first."""
    store = state.ports.views.current_store("posts")
    return await accounts_page(
        state, page, await posts.list_retweeters(store, post, page.wanted), viewer
    )


async def accounts_page(state: ApiState, page: ClientPage, rows: Any, viewer: int) -> Response:
    """A page of accounts; rows are (cursor, user). Blocked and blocking ones are left out."""
    blocked = await blocked_users(state, viewer)
    users = [user for _, user in rows if user not in blocked]
    body = await state.statuses.accounts.render_list(users)
    return json_response(body, headers=page.link_header([id for id, _ in rows]))
