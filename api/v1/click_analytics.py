"""`/v1/analytics/posts` and `/top-posts`: how often posts are seen and opened, as clicks say it."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Security

from api.accounts.access_tokens import ANALYST_SCOPE, USER_SCOPE, TokenClaims
from api.clicks.click_figures import describe_period, describe_post
from api.http.errors import RequestRefused, problems, token_missing
from api.http.request import QUERY_PROBLEMS, PostId, fresh_views, no_such_post
from api.http.route import ApiRoute
from api.http.tokens import require_account, require_scope, requires_scope, token_claims
from api.schemas import ApiModel, Count, Day, Id
from api.state import CurrentState
from api.v1.analytics import Periods
from api.views.posts import SinglePost

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


class MostReadPost(ApiModel):
    """A post and how often it was seen and opened. It may have been deleted since."""

    id: Id
    views: Count
    clicks: Count
    click_through: float | None = None
    dwells: Count
    mean_dwell_ms: Count | None = None


@router.get("/posts/{id}", dependencies=[fresh_views("posts")], responses=problems(404))
async def post_reads(
    post: PostId,
    claims: Annotated[TokenClaims | None, Security(token_claims)],
    state: CurrentState,
    periods: Periods,
) -> list[ReadPeriod]:
    """How often a post was seen and opened in each period: for its author, and for analysts."""
    if claims is None:
        raise token_missing()
    require_scope(claims, USER_SCOPE, ANALYST_SCOPE)
    await require_account(state, claims.user)
    if not await state.post_views.post_exists(post):
        raise no_such_post(post)
    if ANALYST_SCOPE not in claims.scopes and await state.post_views.exclude_authors(
        [SinglePost(post)], {claims.user}
    ):
        raise RequestRefused(403, "not-author", "these figures are for the author of the post")
    quarters = [range(span.first, span.end) for span in periods]
    found = await state.ports.clicks.log.reads_of_post(post, quarters)
    shown = [describe_period(span.day, reads) for span, reads in zip(periods, found, strict=True)]
    return [ReadPeriod(**one._asdict() | {"since": str(one.since)}) for one in shown]


@router.get("/top-posts", dependencies=[requires_scope(ANALYST_SCOPE)])
async def top_posts(
    state: CurrentState,
    periods: Periods,
    limit: Annotated[int, Query(ge=1, le=MOST_POSTS)] = 20,
) -> list[MostReadPost]:
    """The posts that were opened most often, all periods together."""
    quarters = range(periods[0].first, periods[-1].end)
    found = await state.ports.clicks.log.most_read_posts(quarters, limit)
    return [MostReadPost(**describe_post(reads)._asdict()) for reads in found]
