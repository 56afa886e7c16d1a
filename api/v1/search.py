"""`/v1/search` and the completion of handles: posts, people and hashtags by word."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import StringConstraints, TypeAdapter

from api.http.errors import RETRY_AFTER, RequestRefused
from api.http.paging import DEFAULT_LIMIT, MAX_USERS, PAGE_RESPONSE, LimitQuery, Page, PostsPage
from api.http.request import (
    QUERY_PROBLEMS,
    blocked_users,
    fresh_views,
    hidden_users,
    json_response,
)
from api.http.route import ApiRoute
from api.http.tokens import Viewer
from api.ports import VIEW_WAIT_SECONDS
from api.schemas import ApiModel, Count, Post, User
from api.search.account_search import find_accounts
from api.search.search_words import query_words
from api.state import ApiState, CurrentState
from api.v1.posts import POST_VIEWS, posts_page
from api.views.posts import SinglePost
from api.views.users import USER_VIEWS
from commands.errors import InvalidInput
from events.hashtags import fold_hashtag
from events.ids.snowflake import parse_decimal

MAX_QUERY: Final = 200
"""Characters of a query."""

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["search"])


class FoundHashtag(ApiModel):
    """A hashtag (folded), and how many posts have it."""

    tag: str
    posts: Count


_HASHTAGS: Final = TypeAdapter(list[FoundHashtag])

QueryText = Annotated[str, StringConstraints(max_length=MAX_QUERY)]


async def _fresh_index(
    state: CurrentState,
    starling_position: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> None:
    """The index has seen the request's `Starling-Position`; `fresh_views` checks that."""
    position = parse_decimal((starling_position or "0").strip()) or 0
    if not await state.ports.search.reach(position, VIEW_WAIT_SECONDS):
        message = "the index of words is not there yet: ask again, or without `Starling-Position`"
        raise RequestRefused(503, "views-behind", message, RETRY_AFTER)


@router.get(
    "/search",
    response_model=list[Post] | list[User] | list[FoundHashtag],
    responses=PAGE_RESPONSE,
    dependencies=[fresh_views(*POST_VIEWS, *USER_VIEWS), Depends(_fresh_index)],
)
async def search(
    q: Annotated[QueryText, Query(description="words, or the beginning of a handle or hashtag")],
    page: PostsPage,
    viewer: Viewer,
    state: CurrentState,
    type: Annotated[Literal["posts", "users", "people", "hashtags"], Query()] = "posts",
) -> Response:
    """Posts that have all the words, newest first; accounts whose handle or name has words that
    begin with each of them, the one whose handle is the query first and then the newest; or
    hashtags that begin with the query, the most used first (one page).
    """
    return await _SEARCHES[type](state, q, page, viewer)


@router.get(
    "/users",
    response_model=list[User],
    responses=QUERY_PROBLEMS,
    dependencies=[fresh_views(*USER_VIEWS, "timeline"), Depends(_fresh_index)],
)
async def complete_handle(
    handle_prefix: Annotated[QueryText, Query(min_length=1, description="with or without its @")],
    viewer: Viewer,
    state: CurrentState,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Response:
    """Accounts whose handles begin with a prefix, in the order of the handles (one page)."""
    prefix = handle_prefix.removeprefix("@").lower()
    blocked = await blocked_users(state, viewer)
    found = await state.ports.search.index.complete_handle(prefix, min(limit, MAX_USERS))
    users = [user for user in found if user not in blocked]
    return json_response(await state.user_views.render_page(users, viewer))


async def _find_posts(state: ApiState, query: str, page: Page, viewer: int) -> Response:
    """A page of the posts that have all words of a query, without those of hidden authors."""
    found = await state.ports.search.index.find_posts(_words(query), page.request)
    hidden = await hidden_users(state, viewer)
    visible = [SinglePost(post) for post, author in found if author not in hidden]
    return await posts_page(state, page, visible, [post for post, _ in found], viewer)


async def _find_users(state: ApiState, query: str, page: Page, viewer: int) -> Response:
    found = await find_accounts(state.ports, query, _words(query), page.request)
    blocked = await blocked_users(state, viewer)
    visible = [user for user in found.users if user not in blocked][: page.request.limit]
    body = await state.user_views.render_page(visible, viewer)
    return json_response(body, headers=page.link_header(found.cursors))


async def _find_hashtags(state: ApiState, query: str, page: Page, viewer: int) -> Response:
    prefix = fold_hashtag(query.strip().removeprefix("#"))
    if not prefix:
        raise _no_word(query)
    found = await state.ports.search.index.find_hashtags(prefix, page.request.limit)
    tags = [FoundHashtag(tag=tag, posts=posts) for tag, posts in found]
    return json_response(_HASHTAGS.dump_json(tags))


def _words(query: str) -> Sequence[str]:
    """The words of a query. Raises `InvalidInput` where there are none."""
    words = query_words(query)
    if not words:
        raise _no_word(query)
    return words


def _no_word(query: str) -> InvalidInput:
    return InvalidInput(
        "query-empty", f"{query!r} has no word to search for; give `q` at least one"
    )


_Search = Callable[[ApiState, str, Page, int], Awaitable[Response]]
_SEARCHES: Final[Mapping[str, _Search]] = {
    "posts": _find_posts,
    "users": _find_users,
    "people": _find_users,
    "hashtags": _find_hashtags,
}
