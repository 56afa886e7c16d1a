"""What clicks say of posts, as it is shown: by period, and the posts that were opened most."""

from datetime import date
from typing import NamedTuple

from api.clicks.click_log import PostReads
from projections.distinct_count import Estimate
from projections.reach import Reach


class PostPeriod(NamedTuple):
    """A post in the period that begins at `since`. `click_through` is clicks for each view, and
    `mean_dwell_ms` of a dwell; None where there was none.
    """

    since: date
    views: int
    clicks: int
    click_through: float | None
    dwells: int
    mean_dwell_ms: int | None


class TopPost(NamedTuple):
    """A post among those that were opened most often; its id as in JSON, the rest as above."""

    id: str
    views: int
    clicks: int
    click_through: float | None
    dwells: int
    mean_dwell_ms: int | None


class ReachAndViewers(NamedTuple):
    """Accounts that could see a post, those of them by its author, who retweeted it, who saw it.
    `error` is the share by which a count may be wrong, None where all are exact."""

    could_see: int
    by_author: int
    retweeters: int
    viewers: int
    error: float | None


def describe_reach(reach: Reach, viewers: Estimate) -> ReachAndViewers:
    """What is shown of a reach."""
    could_see, by_author, retweeters = reach
    errors = [one.error for one in (could_see, by_author, viewers) if one.error is not None]
    return ReachAndViewers(
        could_see.number, by_author.number, retweeters, viewers.number, max(errors, default=None)
    )


def describe_period(since: date, reads: PostReads) -> PostPeriod:
    """The figures of a post in a period."""
    return PostPeriod(since, *_figures(reads))


def describe_post(reads: PostReads) -> TopPost:
    """The figures of a post among others."""
    return TopPost(str(reads.post), *_figures(reads))


def _figures(reads: PostReads) -> tuple[int, int, float | None, int, int | None]:
    return (
        reads.views,
        reads.clicks,
        round(reads.clicks / reads.views, 4) if reads.views else None,
        reads.dwells,
        round(reads.dwell_ms / reads.dwells) if reads.dwells else None,
    )
