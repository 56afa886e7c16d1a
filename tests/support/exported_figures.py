"""Every figure of analytics beside DuckDB over the exported log, and over the clicks."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

from api.clicks.click_intake import DAY_MS
from api.clicks.click_log import Click, ClickKind, PostReads
from events.codec import EVENT_CODEC
from events.ids.snowflake import time_ms
from events.log import EventLog
from events.schema import PostCreated, PostRetweeted
from infra.duckdb.parquet_copy import refresh_copy
from infra.duckdb.query_session import QuerySession
from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.click_log import SqliteClickLog
from infra.sqlite.click_questions import open_clicks_for_questions, read_clicks
from projections.analytics import (
    AnalyticsProjection,
    Funnel,
    Period,
    Span,
    count_active_users,
    count_cohorts,
    count_funnel,
    count_growth,
    count_hashtag,
    split_periods,
)
from projections.distinct_count import Estimate
from projections.followers import FollowersProjection
from projections.posts import PostsProjection
from projections.projection import Projection
from projections.reach import Reach, count_reach
from projections.store import ReadStore
from streams.projecting.apply_batch import project_and_apply

TAKEN = "('" + "', '".join(
    ("post-created", "post-liked", "post-unliked", "post-retweeted", "post-unretweeted",
     "user-followed", "user-unfollowed")
) + "')"  # fmt: skip
PERIODS: tuple[Period, ...] = ("day", "week", "month")
KINDS: tuple[ClickKind, ...] = ("view", "view", "click", "dwell")


class ExportedFigures:
    """The views of a log in memory, and DuckDB over what was exported of it.

    Days are those of a zone that is `minutes` ahead of UTC.
    """

    def __init__(
        self,
        stores: dict[str, ReadStore],
        clicks: SqliteClickLog,
        session: QuerySession,
        minutes: int,
    ) -> None:
        self._stores = stores
        self._clicks = clicks
        self._session = session
        self._shift = f"INTERVAL {minutes} MINUTE"
        self._zone = timezone(timedelta(minutes=minutes))

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that DuckDB answers."""
        return [tuple(row) for row in self._session.execute_query(sql).fetch_rows()]

    async def compare_all(self) -> None:
        """Every figure."""
        for period in PERIODS:
            await self.compare_active_users(period)
        await self.compare_cohorts()
        await self.compare_funnel()
        await self.compare_growth()
        await self.compare_hashtags()
        await self.compare_clicks()
        await self.compare_reach()

    def _since(self, period: Period, time: str = "time") -> str:
        """The day that the period of a time begins on."""
        return f"date_trunc('{period}', {time} AT TIME ZONE 'UTC' + {self._shift})::DATE"

    def _spans(self, period: Period) -> list[Span]:
        [(first, last)] = self.ask(f"SELECT min(d), max(d) FROM (SELECT {self._since('day')} AS d"
                                   " FROM events)")  # fmt: skip
        return split_periods(first - timedelta(days=1), last + timedelta(days=1), period,
                             self._zone)  # fmt: skip

    async def compare_active_users(self, period: Period) -> None:
        """By day, week or month; new and returning."""
        found = await count_active_users(self._stores["analytics"], self._spans(period))
        made = self._since(period, "r.time")
        rows = self.ask(
            f"SELECT since, count(DISTINCT actor), count(DISTINCT actor) FILTER (made = since) FROM"
            f" (SELECT {self._since(period, 'e.time')} AS since, e.actor, {made} AS made"
            f" FROM events e JOIN user_registered r ON e.actor = r.user WHERE e.type IN {TAKEN})"
            " GROUP BY 1 ORDER BY 1"
        )
        shown = [(one.since, one.active, one.new) for one in found if one.active]
        assert shown == rows != []
        assert all(one.active == one.new + one.returning for one in found)
        assert [one.error for one in found] == [None] * len(found)

    async def compare_cohorts(self) -> None:
        """Of the accounts of each week, those active in it and in each later one."""
        weeks = self._spans("week")
        counted = {(a, b): n for a, b, n in self.ask(
            f"SELECT {self._since('week', 'r.time')}, {self._since('week', 'e.time')},"
            " count(DISTINCT e.actor) FROM events e JOIN user_registered r ON e.actor = r.user"
            f" WHERE e.type IN {TAKEN} GROUP BY 1, 2"
        )}  # fmt: skip
        made = dict(
            self.ask(f"SELECT {self._since('week')}, count(*) FROM user_registered GROUP BY 1")
        )
        for number, cohort in enumerate(await count_cohorts(self._stores["analytics"], weeks)):
            later = [week.day for week in weeks[number:]]
            assert cohort.accounts == made.get(cohort.since, 0)
            assert list(cohort.active) == [counted.get((cohort.since, day), 0) for day in later]

    async def compare_funnel(self) -> None:
        """Of the accounts of each week, and of all."""
        spans = self._spans("week")
        whole = spans[0]._replace(end=spans[-1].end)
        steps = "actor IN (SELECT actor FROM events WHERE type = '{}')".format
        followed = f"{steps('user-followed')}"
        posted = f"{followed} AND {steps('post-created')}"
        liked = f"{posted} AND {steps('post-liked')}"
        rows = self.ask(
            f"SELECT {self._since('week')}, count(*), count(*) FILTER ({followed}),"
            f" count(*) FILTER ({posted}), count(*) FILTER ({liked})"
            " FROM user_registered GROUP BY 1"
        )
        by_week = {since: Funnel(*counts) for since, *counts in rows}
        for span in spans:
            found = await count_funnel(self._stores["analytics"], span)
            assert found == by_week.get(span.day, Funnel(0, 0, 0, 0))
        total = Funnel(*map(sum, zip(*by_week.values(), strict=True)))
        assert await count_funnel(self._stores["analytics"], whole) == total

    async def compare_growth(self) -> None:
        """Of the three accounts that are followed most, by day."""
        spans = self._spans("day")
        for (user,) in self.ask(
            "SELECT followee FROM user_followed GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3"
        ):
            found = await count_growth(self._stores["analytics"], user, spans)
            rows = self.ask(
                f"SELECT {self._since('day')}, count(*) FILTER (type = 'user-followed'), count(*)"
                f" FILTER (type = 'user-unfollowed') FROM events WHERE followee = {user}"
                f" AND type IN {TAKEN} GROUP BY 1 ORDER BY 1"
            )
            assert [tuple(one) for one in found if one.gained or one.lost] == rows

    async def compare_hashtags(self) -> None:
        """The three that are used most, by day."""
        tags = "(SELECT DISTINCT post, time, lower(unnest(hashtags)) AS tag FROM post_created)"
        top = self.ask(f"SELECT tag FROM {tags} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3")
        for (tag,) in top:
            found = await count_hashtag(self._stores["analytics"], tag, self._spans("day"))
            rows = self.ask(
                f"SELECT {self._since('day')}, count(*) FROM {tags} WHERE tag = '{tag}'"
                " GROUP BY 1 ORDER BY 1"
            )
            assert [tuple(one) for one in found if one.posts] == rows

    async def compare_clicks(self) -> None:
        """The posts that were opened most; click-through and dwell of the first of them."""
        spans = self._spans("day")
        sums = (
            "count(*) FILTER (kind = 'view'), count(*) FILTER (kind = 'click'),"
            " count(*) FILTER (kind = 'dwell'), coalesce(sum(dwell_ms), 0)::BIGINT FROM clicks"
        )
        top = self.ask(f"SELECT post, {sums} WHERE post IS NOT NULL GROUP BY 1"
                       " ORDER BY 3 DESC, 2 DESC, 1 DESC LIMIT 10")  # fmt: skip
        whole = range(spans[0].first, spans[-1].end)
        assert await self._clicks.most_read_posts(whole, 10) == [PostReads(*row) for row in top]
        post = top[0][0]
        quarters = [range(span.first, span.end) for span in spans]
        found = await self._clicks.reads_of_post(post, quarters)
        by_day = [
            (s.day, *reads[1:]) for s, reads in zip(spans, found, strict=True) if any(reads[1:])
        ]
        rows = self.ask(f"SELECT {self._since('day')}, {sums} WHERE post = {post} GROUP BY 1"
                        " ORDER BY 1")  # fmt: skip
        assert by_day == rows != []

    async def compare_reach(self) -> None:
        """Of the posts that were retweeted and seen most."""
        for post, author in self.ask(
            "SELECT p.post, any_value(p.author) FROM posts p JOIN clicks c ON c.post = p.post"
            " GROUP BY 1 ORDER BY max(p.retweets) DESC, count(*) DESC, 1 LIMIT 3"
        ):
            retweeters = f"(SELECT user FROM retweets WHERE post = {post})"
            follower = f"count(DISTINCT follower) FROM follows WHERE follower <> {author} AND"
            [(could_see, by_author, retweets, viewers)] = self.ask(
                f"SELECT (SELECT {follower} (followee = {author} OR followee IN {retweeters})),"
                f" (SELECT {follower} followee = {author}), (SELECT count(*) FROM {retweeters}),"
                " (SELECT count(DISTINCT coalesce(user, session)) FROM clicks"
                f" WHERE post = {post} AND kind = 'view')"
            )
            followers, posts = self._stores["followers"], self._stores["posts"]
            reach = await count_reach(followers, posts, post, author)
            assert reach == Reach(Estimate(could_see), Estimate(by_author), retweets)
            assert await self._clicks.viewers_of_post(post) == Estimate(viewers)
            assert viewers > 0


async def compare_figures(log: EventLog, folder: Path, minutes: int = 0, seed: int = 1) -> None:
    """Every figure of a log, with clicks that are made up; `folder` is an empty one."""
    recorded = [EVENT_CODEC.decode_stored(one) for one in log.read_all(limit=1_000_000)]
    stores: dict[str, ReadStore] = {}
    projections: tuple[Projection, ...] = (
        AnalyticsProjection(), FollowersProjection(), PostsProjection(),
    )  # fmt: skip
    for projection in projections:
        store = stores[projection.name] = MemoryReadStore(projection.tables)
        wanted = [one for one in recorded if type(one.event) in projection.event_types]
        await project_and_apply(projection, store, wanted, 0, log.head())
    created = [one.event.post for one in recorded if isinstance(one.event, PostCreated)]
    retweeted = [one.event.post for one in recorded if isinstance(one.event, PostRetweeted)]
    seen = [*created[:20], *retweeted[:20]]
    path = folder / "clicks.sqlite"
    with closing(SqliteClickLog(path)) as clicks:
        await clicks.append_clicks(made_up_clicks(seen, Random(seed)))
        rows = refresh_copy(log, folder, lambda position, head: None)
        with (
            open_clicks_for_questions(path) as opened,
            closing(QuerySession(rows, folder, clicks=read_clicks(opened))) as session,
        ):
            await ExportedFigures(stores, clicks, session, minutes).compare_all()


def made_up_clicks(posts: Sequence[int], rng: Random) -> list[Click]:
    """Views, clicks and dwells of some posts in the three days after each, by a few readers."""
    clicks = []
    for _ in range(600):
        post, kind = rng.choice(posts), rng.choice(KINDS)
        at = time_ms(post) + rng.randrange(3 * DAY_MS)
        user = rng.randrange(1, 6) if rng.random() < 0.4 else None
        dwell = rng.randrange(9000) if kind == "dwell" else None
        received = at + rng.randrange(DAY_MS)
        session = -rng.randrange(1, 30)
        clicks.append(Click(received, at, session, user, post, None, kind, dwell, None))
    return clicks
