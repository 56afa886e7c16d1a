"""What a user keeps: bookmarks, likes, pins, followed hashtags, blocks and mutes."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import Field, TypeAdapter

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, Page, PostsPage, UsersPage
from api.http.request import (
    Commands,
    VisibleUser,
    command_problems,
    fresh_views,
    json_response,
    position_header,
    unblocked_posts,
)
from api.http.route import ApiRoute
from api.http.tokens import Reader, Viewer, requires_scope
from api.schemas import ApiModel, Done, Post, User
from api.state import ApiState, CurrentState
from api.v1.posts import POST_VIEWS, posts_page
from api.v1.timelines import HashtagName
from api.views.users import USER_VIEWS
from commands.followed_hashtag import FollowHashtag, UnfollowHashtag
from projections import personal_records, posts
from projections.personal_records import ListedItem

router = APIRouter(route_class=ApiRoute, prefix="/v1")

_OWN_POSTS: Final = [requires_scope(USER_SCOPE), fresh_views(*POST_VIEWS)]
_OWN_USERS: Final = [requires_scope(USER_SCOPE), fresh_views(*USER_VIEWS, "personal_records")]
_RESPONSES: Final = PAGE_RESPONSE | problems(403)


class FollowedHashtag(ApiModel):
    """A hashtag that one follows, folded."""

    tag: Annotated[str, Field(examples=["starling"])]


_HASHTAGS: Final = TypeAdapter(list[FollowedHashtag])


async def _listed_posts(
    state: ApiState, page: Page, rows: Sequence[tuple[int, int]], viewer: int
) -> Response:
    """A page of posts; rows are (cursor, post). Deleted ones are left out, and those of users who
    block the reader or whom the reader blocks."""
    visible = await unblocked_posts(state, [post for _, post in rows], viewer)
    return await posts_page(state, page, visible, [id for id, _ in rows], viewer)


async def _listed_users(
    state: ApiState, page: Page, rows: Sequence[ListedItem], viewer: int
) -> Response:
    body = await state.user_views.render_page([row.item for row in rows], viewer)
    return json_response(body, headers=page.link_header([row.id for row in rows]))


@router.get(
    "/users/me/bookmarks",
    response_model=list[Post],
    responses=_RESPONSES,
    dependencies=_OWN_POSTS,
    tags=["posts"],
)
async def list_bookmarks(page: PostsPage, reader: Reader, state: CurrentState) -> Response:
    """The posts that one bookmarked, the newest bookmark first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_bookmarks(store, reader, page.request)
    return await _listed_posts(state, page, rows, reader)


@router.get(
    "/users/me/likes",
    response_model=list[Post],
    responses=_RESPONSES,
    dependencies=_OWN_POSTS,
    tags=["posts"],
)
async def list_liked_posts(page: PostsPage, reader: Reader, state: CurrentState) -> Response:
    """The posts that one likes, the newest like first."""
    store = state.ports.views.current_store("posts")
    return await _listed_posts(
        state, page, await posts.list_liked(store, reader, page.request), reader
    )


@router.get(
    "/users/{ref}/pins",
    response_model=list[Post],
    responses=PAGE_RESPONSE | problems(404),
    dependencies=[fresh_views(*POST_VIEWS)],
    tags=["posts"],
)
async def list_pins(
    user: VisibleUser, page: PostsPage, viewer: Viewer, state: CurrentState
) -> Response:
    """The posts that a user pinned, the newest pin first; none where one blocks the other."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_pins(store, user, page.request)
    return await _listed_posts(state, page, rows, viewer)


@router.get(
    "/users/me/blocks",
    response_model=list[User],
    responses=_RESPONSES,
    dependencies=_OWN_USERS,
    tags=["users"],
)
async def list_blocks(page: UsersPage, reader: Reader, state: CurrentState) -> Response:
    """Whom one blocks, the newest block first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_blocked(store, reader, page.request)
    return await _listed_users(state, page, rows, reader)


@router.get(
    "/users/me/mutes",
    response_model=list[User],
    responses=_RESPONSES,
    dependencies=_OWN_USERS,
    tags=["users"],
)
async def list_mutes(page: UsersPage, reader: Reader, state: CurrentState) -> Response:
    """Whom one mutes, the newest mute first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_muted(store, reader, page.request)
    held = [row.item for row in rows if row.holds_at(state.ports.clock_ms())]
    body = await state.user_views.render_page(held, reader)
    return json_response(body, headers=page.link_header([row.id for row in rows]))


@router.get(
    "/users/me/followed-hashtags",
    response_model=list[FollowedHashtag],
    responses=_RESPONSES,
    dependencies=[requires_scope(USER_SCOPE), fresh_views("personal_records")],
    tags=["users"],
)
async def list_followed_hashtags(page: UsersPage, reader: Reader, state: CurrentState) -> Response:
    """The hashtags that one follows, the newest follow first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_followed_hashtags(store, reader, page.request)
    body = _HASHTAGS.dump_json([FollowedHashtag(tag=row.tag) for row in rows])
    return json_response(body, headers=page.link_header([row.id for row in rows]))


@router.put(
    "/hashtags/{tag}/follow", response_model=Done, responses=command_problems(), tags=["users"]
)
async def follow_hashtag(tag: HashtagName, commands: Commands) -> Response:
    """Follow a hashtag. The answer's `id` is oneself."""
    outcome = await commands.run(FollowHashtag(tag))
    return json_response(Done(id=str(outcome.id), followed=True), headers=position_header(outcome))


@router.delete(
    "/hashtags/{tag}/follow", response_model=Done, responses=command_problems(), tags=["users"]
)
async def unfollow_hashtag(tag: HashtagName, commands: Commands) -> Response:
    """Follow a hashtag no more."""
    outcome = await commands.run(UnfollowHashtag(tag))
    return json_response(Done(id=str(outcome.id), followed=False), headers=position_header(outcome))
