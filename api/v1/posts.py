"""`/v1/posts`: posts, comments, and who likes or retweeted a post."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from fastapi import APIRouter, Response

from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, Page, PostsPage, UsersPage
from api.http.request import (
    QUERY_PROBLEMS,
    Commander,
    Commands,
    PostId,
    VisiblePost,
    blocked_users,
    command_problems,
    fresh_views,
    hidden_users,
    json_response,
    position_header,
    require_unblocked,
)
from api.http.route import ApiRoute
from api.http.tokens import Viewer
from api.schemas import ApiModel, Done, EditedPost, NewComment, NewPost, Post, User
from api.state import ApiState, CurrentState
from api.views.posts import PageEntry, SinglePost
from api.views.users import USER_VIEWS
from commands.decider import Command
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.rules import post_not_found
from projections import posts
from projections.pages import PageRequest
from projections.post_thread import read_thread
from projections.store import ReadStore

POST_VIEWS: Final = ("timeline", "posts", "profiles", "personal_records")
"""The views that a page of posts is made from."""

UserQuery = Callable[[ReadStore, int, PageRequest], Awaitable[Sequence[tuple[int, int]]]]
"""Reads a page of (id in the list, user) from a store, about a user or a post."""


class Thread(ApiModel):
    """The posts above one, from the root down, and those below it, depth first. `muted` says
    whether the signed-in reader wants no notifications of it.
    """

    ancestors: list[Post]
    descendants: list[Post]
    muted: bool | None = None


router = APIRouter(route_class=ApiRoute, prefix="/v1/posts", tags=["posts"])


async def posts_page(
    state: ApiState,
    page: Page,
    entries: Sequence[PageEntry],
    ids: Sequence[int],
    viewer: int,
    scanned_to: int | None = None,
) -> Response:
    """A page of posts; `ids` are those of the list, newest first, and make the links."""
    body = await state.post_views.render_page(entries, viewer)
    return json_response(body, headers=page.link_header(ids, scanned_to))


async def users_page(
    state: ApiState, page: Page, projection: str, query: UserQuery, subject: int, viewer: int
) -> Response:
    """A page of users that a query reads from a view, about a user or a post.

    Users whom the reader blocks, or who block the reader, are left out.
    """
    rows = await query(state.ports.views.current_store(projection), subject, page.request)
    blocked = await blocked_users(state, viewer)
    body = await state.user_views.render_page([u for _, u in rows if u not in blocked], viewer)
    return json_response(body, headers=page.link_header([id for id, _ in rows]))


@router.post("", status_code=201, response_model=Post, responses=command_problems(404, success=201))
async def create_post(new: NewPost, commands: Commands, state: CurrentState) -> Response:
    """Post, or comment on the post `reply_to`."""
    reply_to = int(new.reply_to) if new.reply_to is not None else None
    command = CreatePost(
        new.text, reply_to, tuple(new.media), new.sensitive, new.spoiler_text, new.language
    )
    return await _create(state, commands, command, new.media)


@router.get(
    "/{id}",
    response_model=Post,
    responses=QUERY_PROBLEMS | problems(404),
    dependencies=[fresh_views(*POST_VIEWS)],
)
async def get_post(post: PostId, viewer: Viewer, state: CurrentState) -> Response:
    """A post."""
    rendered = await state.post_views.render_post(post, viewer)
    if rendered is None:
        raise post_not_found(post)
    await require_unblocked(state, post, viewer)
    return json_response(rendered)


@router.patch("/{id}", response_model=Post, responses=command_problems(404))
async def edit_post(
    commands: Commands, post: PostId, edited: EditedPost, state: CurrentState
) -> Response:
    """Edit a post of one's own. Answers the post as it is now."""
    outcome = await commands.run(
        EditPost(post, edited.text, edited.sensitive, edited.spoiler_text, edited.language)
    )
    shown = await state.post_views.render_edited(outcome, commands.actor)
    return json_response(shown, headers=position_header(outcome))


@router.delete("/{id}", response_model=Done, responses=command_problems(404))
async def delete_post(commands: Commands, post: PostId) -> Response:
    """Delete a post of one's own."""
    outcome = await commands.run(DeletePost(post))
    return json_response(Done(id=str(outcome.id), deleted=True), headers=position_header(outcome))


@router.get(
    "/{id}/comments",
    response_model=list[Post],
    responses=PAGE_RESPONSE | problems(404),
    dependencies=[fresh_views(*POST_VIEWS)],
)
async def list_comments(
    post: VisiblePost, page: PostsPage, viewer: Viewer, state: CurrentState
) -> Response:
    """The comments on a post."""
    ids = await posts.list_comments(state.ports.views.current_store("posts"), post, page.request)
    hidden = await hidden_users(state, viewer)
    visible = await state.post_views.exclude_authors([SinglePost(id) for id in ids], hidden)
    return await posts_page(state, page, visible, ids, viewer)


@router.get(
    "/{id}/thread",
    response_model=Thread,
    responses=QUERY_PROBLEMS | problems(404),
    dependencies=[fresh_views(*POST_VIEWS)],
)
async def get_thread(post: VisiblePost, viewer: Viewer, state: CurrentState) -> Response:
    """What a post answers, the root first, and the answers below it, depth first: at most 40 above
    and 200 below in 20 levels. Posts of users whom one hides are left out, and answers to them.
    """
    hidden = await hidden_users(state, viewer)
    store = state.ports.views.current_store("posts")
    ancestors, descendants = [
        await state.post_views.render_page([SinglePost(id) for id in ids], viewer)
        for ids in await read_thread(store, post, hidden)
    ]
    body = b'{"ancestors":%s,"descendants":%s' % (ancestors, descendants)
    if viewer:
        muted = await state.muted_conversations.muted_among(viewer, (post,))
        body += b',"muted":true' if muted else b',"muted":false'
    return json_response(body + b"}")


@router.post(
    "/{id}/comments",
    status_code=201,
    response_model=Post,
    responses=command_problems(404, success=201),
)
async def create_comment(
    commands: Commands, post: PostId, new: NewComment, state: CurrentState
) -> Response:
    """Comment on a post."""
    command = Comment(
        post, new.text, tuple(new.media), new.sensitive, new.spoiler_text, new.language
    )
    return await _create(state, commands, command, new.media)


@router.get(
    "/{id}/likes",
    response_model=list[User],
    responses=PAGE_RESPONSE | problems(404),
    dependencies=[fresh_views(*USER_VIEWS, "timeline")],
)
async def list_likers(
    post: VisiblePost, page: UsersPage, viewer: Viewer, state: CurrentState
) -> Response:
    """Who likes a post."""
    return await users_page(state, page, "posts", posts.list_likers, post, viewer)


@router.get(
    "/{id}/retweets",
    response_model=list[User],
    responses=PAGE_RESPONSE | problems(404),
    dependencies=[fresh_views(*USER_VIEWS, "timeline")],
)
async def list_retweeters(
    post: VisiblePost, page: UsersPage, viewer: Viewer, state: CurrentState
) -> Response:
    """Who retweeted a post."""
    return await users_page(state, page, "posts", posts.list_retweeters, post, viewer)


async def _create(
    state: ApiState, commands: Commander, command: Command, media: list[str]
) -> Response:
    outcome = await commands.run(command, media)
    created = await state.post_views.render_created(outcome)
    return json_response(created, 201, position_header(outcome))
