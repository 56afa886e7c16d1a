"""What the clicks of all machines say of posts, in MongoDB.

Collections `click_posts` (counts of a post in a quarter of an hour), `click_viewers` (hashes of who
saw a post) and `click_logs` (how far the log of clicks of each machine was counted). A chunk and
how far it reaches are one transaction, so that a chunk which comes again counts once. MongoDB
removes what is older than clicks are kept.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bson import Int64
from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from api.clicks.click_log import ClicksUnavailable, PostReads
from api.clicks.click_publisher import ClickChunk, PostClick
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import WRITE_SECONDS
from infra.mongodb.database_threads import DatabaseThreads
from projections.distinct_count import Estimate

QUARTER_MS: Final = 900_000
"""Of an hour."""

_DAY_MS: Final = 86_400_000
_THREADS: Final = 2
_COUNTS: Final = ("views", "clicks", "dwells", "dwell_ms")
_KIND_COUNTS: Final = {"view": "views", "click": "clicks", "dwell": "dwells"}
_SUMS: Final = {name: {"$sum": f"${name}"} for name in _COUNTS}


class MongoClickFigures:
    """`ClickFigures` of one database, and a `ClickFeed` that counts chunks; any number of processes
    may open it. `close` it."""

    def __init__(self, database: BlockingDatabase, days: int) -> None:
        """Figures are kept for so many days."""
        self._kept_ms = days * _DAY_MS
        self._posts = database.get_collection("click_posts")
        self._viewers = database.get_collection("click_viewers")
        self._logs = database.get_collection("click_logs")
        self._threads = DatabaseThreads(
            database, "the figures of clicks",
            threads=_THREADS, seconds=WRITE_SECONDS, unavailable=ClicksUnavailable,
            prepare=self._make_indexes,
        )  # fmt: skip

    async def publish(self, chunk: ClickChunk) -> None:
        def count(session: ClientSession) -> None:
            log = self._logs.find_one({"_id": chunk.source}, session=session)
            through = 0 if log is None else log["through"]
            if through >= chunk.through:
                return
            self._logs.replace_one(
                {"_id": chunk.source},
                {"_id": chunk.source, "through": Int64(chunk.through)},
                upsert=True,
                session=session,
            )
            new = [click for click in chunk.clicks if click.number > through]
            if new:
                self._posts.bulk_write(self._additions(new), ordered=False, session=session)
            if seen := [click for click in new if click.kind == "view"]:
                self._viewers.bulk_write(self._sightings(seen), ordered=False, session=session)

        await self._threads.transact(count)

    async def reads_of_post(self, post: int, quarters: Sequence[range]) -> Sequence[PostReads]:
        def find() -> list[PostReads]:
            first = min((one.start for one in quarters), default=0)
            end = max((one.stop for one in quarters), default=0)
            rows = list(self._posts.find({"post": post, "quarter": {"$gte": first, "$lt": end}}))
            found = []
            for one in quarters:
                within = [row for row in rows if row["quarter"] in one]
                sums = (sum(row[name] for row in within) for name in _COUNTS)
                found.append(PostReads(post, *sums))
            return found

        return await self._threads.run(find)

    async def most_read_posts(self, quarters: range, most: int) -> Sequence[PostReads]:
        stages: list[dict[str, Any]] = [
            {"$match": {"quarter": {"$gte": quarters.start, "$lt": quarters.stop}}},
            {"$group": {"_id": "$post", **_SUMS}},
            {"$sort": {"clicks": -1, "views": -1, "_id": -1}},
            {"$limit": most},
        ]

        def find() -> list[PostReads]:
            rows = self._posts.aggregate(stages)
            return [PostReads(row["_id"], *(row[name] for name in _COUNTS)) for row in rows]

        return await self._threads.run(find)

    async def viewers_of_post(self, post: int) -> Estimate:
        return Estimate(
            await self._threads.run(lambda: self._viewers.count_documents({"post": post}))
        )

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    def _additions(self, clicks: Sequence[PostClick]) -> list[UpdateOne]:
        counts: dict[tuple[int, int], dict[str, int]] = {}
        for click in clicks:
            place = click.post, click.at_ms // QUARTER_MS
            count = counts.setdefault(place, dict.fromkeys(_COUNTS, 0))
            count[_KIND_COUNTS[click.kind]] += 1
            count["dwell_ms"] += click.dwell_ms or 0
        return [
            UpdateOne(
                {"_id": f"{post}-{quarter}"},
                {
                    "$inc": {name: Int64(number) for name, number in count.items()},
                    "$setOnInsert": {
                        "post": Int64(post),
                        "quarter": quarter,
                        "expires": self._end_of_time((quarter + 1) * QUARTER_MS),
                    },
                },
                upsert=True,
            )
            for (post, quarter), count in counts.items()
        ]

    def _sightings(self, clicks: Sequence[PostClick]) -> list[UpdateOne]:
        last: dict[tuple[int, int], int] = {}
        for click in clicks:
            place = click.post, click.viewer
            last[place] = max(click.at_ms, last.get(place, 0))
        return [
            UpdateOne(
                {"_id": f"{post}-{viewer}"},
                {
                    "$max": {"expires": self._end_of_time(at_ms)},
                    "$setOnInsert": {"post": Int64(post)},
                },
                upsert=True,
            )
            for (post, viewer), at_ms in last.items()
        ]

    def _end_of_time(self, ms: int) -> datetime:
        return datetime.fromtimestamp((ms + self._kept_ms) / 1000, UTC)

    def _make_indexes(self) -> None:
        self._posts.create_index([("post", 1), ("quarter", 1)])
        self._posts.create_index([("quarter", 1)])
        self._viewers.create_index([("post", 1)])
        for collection in (self._posts, self._viewers):
            collection.create_index("expires", expireAfterSeconds=0)
