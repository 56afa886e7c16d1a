"""Pages of posts: the home, public, hashtag and user timelines."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, Page, PostsPage
from api.http.request import VisibleUser, blocked_users, fresh_views, hidden_users
from api.http.route import ApiRoute
from api.http.tokens import Reader, Viewer, requires_scope
from api.schemas import Post
from api.state import ApiState, CurrentState
from api.v1.posts import POST_VIEWS, posts_page
from commands.text import MAX_TEXT_LENGTH
from projections import timeline_pages
from projections.timeline import EntryPage

router = APIRouter(
    route_class=ApiRoute,
    prefix="/v1",
    tags=["timelines"],
    responses=PAGE_RESPONSE,
)

MAX_TAG: Final = 4 * MAX_TEXT_LENGTH
"""Characters of a hashtag in an address, before it is folded."""

HashtagName = Annotated[str, Path(min_length=1, max_length=MAX_TAG, description="without its #")]

FRESH_POSTS: Final = [fresh_views(*POST_VIEWS)]


@router.get(
    "/timelines/home",
    response_model=list[Post],
    responses=problems(403),
    dependencies=[requires_scope(USER_SCOPE), *FRESH_POSTS],
)
async def home_timeline(page: PostsPage, reader: Reader, state: CurrentState) -> Response:
    """The posts of the users that one follows."""
    entries = await state.ports.home.read_page(reader, page.request)
    return await _entries_page(state, page, entries, reader)


@router.get("/timelines/public", response_model=list[Post], dependencies=FRESH_POSTS)
async def public_timeline(page: PostsPage, viewer: Viewer, state: CurrentState) -> Response:
    """The posts of all users."""
    hidden = await hidden_users(state, viewer)
    store = state.ports.views.current_store("timeline")
    entries = await timeline_pages.read_public_timeline(store, page.request, hidden)
    return await _entries_page(state, page, entries, viewer)


@router.get("/hashtags/{tag}/posts", response_model=list[Post], dependencies=FRESH_POSTS)
async def hashtag_timeline(
    tag: HashtagName,
    page: PostsPage,
    viewer: Viewer,
    state: CurrentState,
) -> Response:
    """The posts with a hashtag."""
    hidden = await hidden_users(state, viewer)
    store = state.ports.views.current_store("timeline")
    entries = await timeline_pages.read_hashtag_timeline(
        store, tag.removeprefix("#"), page.request, hidden
    )
    return await _entries_page(state, page, entries, viewer)


@router.get(
    "/users/{ref}/posts",
    response_model=list[Post],
    responses=problems(404),
    dependencies=FRESH_POSTS,
)
async def user_timeline(
    user: VisibleUser, page: PostsPage, viewer: Viewer, state: CurrentState
) -> Response:
    """A user's posts and retweets; none where one of the two blocks the other."""
    entries = EntryPage()
    if user not in await blocked_users(state, viewer):
        store = state.ports.views.current_store("timeline")
        hidden = await hidden_users(state, viewer)
        entries = await timeline_pages.read_user_timeline(store, user, page.request, hidden)
    return await _entries_page(state, page, entries, viewer)


async def _entries_page(state: ApiState, page: Page, entries: EntryPage, viewer: int) -> Response:
    ids = [entry.id for entry in entries]
    return await posts_page(state, page, entries, ids, viewer, entries.scanned_to)
