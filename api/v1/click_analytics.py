"""`/v1/analytics/posts` and `/top-posts`: how often posts are seen and opened, as clicks say it.

And how many accounts a post reaches.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Security

from api.accounts.access_tokens import ANALYST_SCOPE, USER_SCOPE
from api.accounts.token_store import TokenClaims
from api.clicks.click_figures import describe_period, describe_post, describe_reach
from api.http.errors import RequestRefused, problems, token_missing
from api.http.request import QUERY_PROBLEMS, PostId, fresh_views
from api.http.route import ApiRoute
from api.http.tokens import require_account, require_scope, requires_scope, token_claims
from api.schemas import ApiModel, Count, Day, Id
from api.state import CurrentState
from api.v1.analytics import Periods
from commands.rules import post_not_found
from projections.posts import PostWithCounts, read_posts
from projections.reach import count_reach

MOST_POSTS: Final = 100

router = APIRouter(
    route_class=ApiRoute,
    prefix="/v1/analytics",
    tags=["analytics"],
    responses=QUERY_PROBLEMS | problems(403),
)


class ReadPeriod(ApiModel):
    """A post in the period that begins on `since`: clicks for each view, and how long a dwell was
    in the mean; left out where there was none."""

    since: Day
    views: Count
    clicks: Count
    click_through: float | None = None
    dwells: Count
    mean_dwell_ms: Count | None = None


class ReachOfPost(ApiModel):
    """Accounts that could see a post, each once: followers of its author, and of those who
    retweeted it; and its viewers of the days that clicks are kept, as signed-in users and other
    sessions. With very many the counts are estimates, which 19 times in 20 are wrong by no more
    than the share `error`."""

    could_see: Count
    by_author: Count
    retweeters: Count
    viewers: Count
    error: float | None = None


class MostReadPost(ApiModel):
    """A post and how often it was seen and opened. It may have been deleted since."""

    id: Id
    views: Count
    clicks: Count
    click_through: float | None = None
    dwells: Count
    mean_dwell_ms: Count | None = None


async def _post_with_figures(
    post: PostId,
    claims: Annotated[TokenClaims | None, Security(token_claims)],
    state: CurrentState,
) -> PostWithCounts:
    """The post in the address, for its author and for analysts. Raises `NotFound`,
    `RequestRefused` (401, 403)."""
    if claims is None:
        raise token_missing()
    require_scope(claims, USER_SCOPE, ANALYST_SCOPE)
    await require_account(state, claims.user)
    if not await state.post_views.post_exists(post):
        raise post_not_found(post)
    found = (await read_posts(state.ports.views.current_store("posts"), [post])).get(post)
    if found is None:
        raise post_not_found(post)
    if ANALYST_SCOPE not in claims.scopes and found.author != claims.user:
        raise RequestRefused(403, "not-author", "these figures are for the author of the post")
    return found


OwnPost = Annotated[PostWithCounts, Depends(_post_with_figures)]


@router.get("/posts/{id}", dependencies=[fresh_views("posts")], responses=problems(404))
async def post_reads(post: OwnPost, state: CurrentState, periods: Periods) -> list[ReadPeriod]:
    """How often a post was seen and opened in each period: for its author, and for analysts."""
    quarters = [range(span.first, span.end) for span in periods]
    found = await state.ports.clicks.figures.reads_of_post(post.post, quarters)
    shown = [describe_period(span.day, reads) for span, reads in zip(periods, found, strict=True)]
    return [ReadPeriod(**one._asdict() | {"since": str(one.since)}) for one in shown]


@router.get(
    "/posts/{id}/reach",
    dependencies=[fresh_views("posts", "followers")],
    responses=problems(404),
)
async def post_reach(post: OwnPost, state: CurrentState) -> ReachOfPost:
    """How many accounts could see a post, and how many readers saw it: for its author, and for
    analysts."""
    store = state.ports.views.current_store
    reach = await count_reach(store("followers"), store("posts"), post.post, post.author)
    viewers = await state.ports.clicks.figures.viewers_of_post(post.post)
    return ReachOfPost(**describe_reach(reach, viewers)._asdict())


@router.get("/top-posts", dependencies=[requires_scope(ANALYST_SCOPE)])
async def top_posts(
    state: CurrentState,
    periods: Periods,
    limit: Annotated[int, Query(ge=1, le=MOST_POSTS)] = 20,
) -> list[MostReadPost]:
    """The posts that were opened most often, all periods together."""
    quarters = range(periods[0].first, periods[-1].end)
    found = await state.ports.clicks.figures.most_read_posts(quarters, limit)
    return [MostReadPost(**describe_post(reads)._asdict()) for reads in found]
