"""Trends as the API answers them."""

from api.ports import Ports
from api.schemas import ApiModel, Count, Time
from events.times import rfc3339
from projections.store import ReadStore
from projections.trending import find_trends


class TrendPeriod(ApiModel):
    """How much a hashtag was used in the quarter of an hour from `since` on."""

    since: Time
    uses: Count
    accounts: Count


class Trend(ApiModel):
    """A hashtag (folded) that is used more than usual.

    `uses` counts posts and `accounts` different users of the last two hours, `history` has their
    quarters, the oldest first.
    """

    tag: str
    score: float
    uses: Count
    accounts: Count
    history: list[TrendPeriod]


async def current_trends(ports: Ports, limit: int) -> list[Trend]:
    """The hashtags that trend now, the most surprising first."""
    return await trends_at(ports.views.current_store("trending"), ports.clock_ms(), limit)


async def trends_at(store: ReadStore, ms: int, limit: int) -> list[Trend]:
    """The hashtags that trended at a time (Unix ms), by a store of that time."""
    return [
        Trend(
            tag=trend.tag,
            score=trend.score,
            uses=trend.uses,
            accounts=trend.accounts,
            history=[
                TrendPeriod(since=rfc3339(use.since), uses=use.uses, accounts=use.accounts)
                for use in trend.history
            ],
        )
        for trend in await find_trends(store, ms, limit)
    ]
