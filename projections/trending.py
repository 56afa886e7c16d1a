"""Which hashtags are used by more accounts than usual.

Time is cut into quarters of an hour, and each post belongs to the one in its id: a replay gives
the same rows as the day itself. For a tag, o is how many accounts used it in each of the eight
quarters that end with the requested time, summed; E is the mean of the same over the same two
hours of the seven days before. The score (o - E)^2 / (E + 3) is how surprising o is where counts
scatter like Poisson's, E being their variance; the 3 keeps a rare tag from winning by luck.

An author's rows follow from the author's events alone; what authors share is only added to. Rows
older than eight days go when their author uses a hashtag again. The rows of an author who never
does stay: if other authors' events removed them, the order in which the events of different people
arrive would decide which rows there are.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Any, Final, NamedTuple

import msgspec

from events.envelope import RecordedEvent
from events.hashtags import fold_hashtag
from events.ids.snowflake import first_id_at, time_ms
from events.schema import Event, PostCreated, PostDeleted, PostEdited, PostRemoved, UserDeleted
from projections.projection import BatchRows, RowRead
from projections.store import KeyRange, ReadStore
from projections.tables import CounterTable, Table

QUARTER_MS: Final = 15 * 60 * 1000
QUARTERS_PER_DAY: Final = 96
"""Quarters in a day."""

WINDOW_QUARTERS: Final = 8
"""Quarters whose uses are compared with other days'."""

RETENTION_QUARTERS: Final = 8 * QUARTERS_PER_DAY
"""Quarters after which a use may be deleted."""

COMPARED_DAYS: Final = 7
MIN_ACCOUNTS: Final = 5
"""A tag that fewer accounts use does not trend."""

_TAGS_PER_READ = 500

BY_QUARTER: Final = ("quarter", "tag")


class TaggedPostRow(NamedTuple):
    """The hashtags of a post, folded, each once: a JSON array."""

    author: int
    post: int
    tags: str


class UserTagUseRow(NamedTuple):
    """How many posts with the tag an account made in a quarter of an hour (counted from 1970)."""

    user: int
    quarter: int
    tag: str
    uses: int


class TagUsageRow(NamedTuple):
    """How many accounts used a tag in a quarter, and in how many posts."""

    quarter: int
    tag: str
    accounts: int
    uses: int


class TagWindowRow(NamedTuple):
    """The accounts of a tag in the eight quarters that end with this one, summed.

    It is stored as a sum, because finding the trends of a moment needs it, for eight days, of every
    tag in use.
    """

    quarter: int
    tag: str
    accounts: int


class DeletedTaggerRow(NamedTuple):
    """A deleted account: its posts, should some arrive late, don't count."""

    user: int


TAGGED_POSTS: Final[Table[TaggedPostRow]] = Table("tagged", TaggedPostRow, key_size=2)
USER_TAG_USES: Final[Table[UserTagUseRow]] = Table(
    "uses", UserTagUseRow, key_size=3, indexes=(BY_QUARTER,)
)
DELETED_TAGGERS: Final[Table[DeletedTaggerRow]] = Table("gone", DeletedTaggerRow, key_size=1)
TAG_USAGE: Final[CounterTable[TagUsageRow]] = CounterTable("usage", TagUsageRow, key_size=2)
TAG_WINDOWS: Final[CounterTable[TagWindowRow]] = CounterTable("windows", TagWindowRow, key_size=2)


def quarter_of(id: int) -> int:
    """The quarter of an hour in a Snowflake id."""
    return time_ms(id) // QUARTER_MS


def prunes_expired(id: int) -> bool:
    """Whether the event with this id deletes its author's expired rows: one in sixteen does.

    Times and ids have rhythms, which a product's high bits have not (Knuth's Fibonacci hashing).
    """
    return (id * _GOLDEN >> 60) & 15 == 0


_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class TrendingProjection:
    """Counts the uses of hashtags."""

    name = "trending"
    version = 1
    event_types: tuple[type[Event], ...] = (
        PostCreated,
        PostEdited,
        PostDeleted,
        PostRemoved,
        UserDeleted,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        TAGGED_POSTS,
        USER_TAG_USES,
        DELETED_TAGGERS,
        TAG_USAGE,
        TAG_WINDOWS,
    )

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """The uses that the event adds to, and now and then those that expired."""
        event = recorded.event
        if isinstance(event, PostCreated):
            if event.hashtags:
                yield RowRead(DELETED_TAGGERS, (event.author,))
                yield RowRead(TAGGED_POSTS, (event.author, event.post))
                yield from _tag_use_reads(event)
                if prunes_expired(recorded.id):
                    yield from _expired_ranges(event.author, quarter_of(recorded.id))
        elif isinstance(event, PostEdited | PostDeleted):
            yield RowRead(DELETED_TAGGERS, (event.author,))
            yield RowRead(TAGGED_POSTS, (event.author, event.post))
            yield KeyRange(USER_TAG_USES, (event.author, quarter_of(event.post)))
            if isinstance(event, PostEdited):
                yield from _tag_use_reads(event)
        elif isinstance(event, UserDeleted):
            yield KeyRange(TAGGED_POSTS, (event.user,))
            yield KeyRange(USER_TAG_USES, (event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Count a post's tags, or uncount them."""
        event = recorded.event
        if isinstance(event, PostCreated):
            if event.hashtags and view.get(TAGGED_POSTS, (event.author, event.post)) is None:
                _count_tags(event, view)
                if prunes_expired(recorded.id):
                    _discard_ranges(_expired_ranges(event.author, quarter_of(recorded.id)), view)
        elif isinstance(event, PostEdited):
            _uncount_tags(event, view)
            if quarter_of(event.post) > quarter_of(recorded.id) - RETENTION_QUARTERS:
                _count_tags(event, view)
        elif isinstance(event, PostDeleted):
            _uncount_tags(event, view)
        elif isinstance(event, UserDeleted):
            view.put(DELETED_TAGGERS, DeletedTaggerRow(event.user))
            _discard_ranges(
                (KeyRange(TAGGED_POSTS, (event.user,)), KeyRange(USER_TAG_USES, (event.user,))),
                view,
            )


def _expired_ranges(author: int, quarter: int) -> tuple[KeyRange, KeyRange]:
    oldest = quarter - RETENTION_QUARTERS + 1
    return (
        KeyRange(TAGGED_POSTS, (author,), below=first_id_at(oldest * QUARTER_MS)),
        KeyRange(USER_TAG_USES, (author,), below=oldest),
    )


def _folded_tags(event: PostCreated | PostEdited) -> list[str]:
    return sorted({fold_hashtag(tag) for tag in event.hashtags})


def _tag_use_reads(event: PostCreated | PostEdited) -> Iterator[RowRead]:
    quarter = quarter_of(event.post)
    for tag in _folded_tags(event):
        yield RowRead(USER_TAG_USES, (event.author, quarter, tag))


def _count_tags(event: PostCreated | PostEdited, view: BatchRows) -> None:
    """Count the tags that the post has after the event."""
    if not event.hashtags or view.get(DELETED_TAGGERS, (event.author,)) is not None:
        return
    tags, quarter = _folded_tags(event), quarter_of(event.post)
    view.put(TAGGED_POSTS, TaggedPostRow(event.author, event.post, _encode(tags).decode()))
    for tag in tags:
        use = view.get(USER_TAG_USES, (event.author, quarter, tag))
        view.put(
            USER_TAG_USES, UserTagUseRow(event.author, quarter, tag, use.uses + 1 if use else 1)
        )
        _add_usage(quarter, tag, 0 if use else 1, 1, view)


def _add_usage(quarter: int, tag: str, accounts: int, uses: int, view: BatchRows) -> None:
    view.add(TAG_USAGE, (quarter, tag), accounts, uses)
    if accounts:
        for end in range(quarter, quarter + WINDOW_QUARTERS):
            view.add(TAG_WINDOWS, (end, tag), accounts)


def _uncount_tags(event: PostEdited | PostDeleted, view: BatchRows) -> None:
    """Uncount the tags that the post had before the event."""
    row = view.get(TAGGED_POSTS, (event.author, event.post))
    if row is None:
        return
    view.delete(TAGGED_POSTS, row[:2])
    quarter = quarter_of(event.post)
    for tag in _decode(row.tags):
        use = view.get(USER_TAG_USES, (event.author, quarter, tag))
        if use is None:
            continue
        if use.uses > 1:
            view.put(USER_TAG_USES, use._replace(uses=use.uses - 1))
        else:
            view.delete(USER_TAG_USES, use[:3])
        _add_usage(quarter, tag, 0 if use.uses > 1 else -1, -1, view)


def _discard_ranges(ranges: Iterable[KeyRange], view: BatchRows) -> None:
    """Delete an author's rows in these ranges, and uncount their uses."""
    for span in ranges:
        for row in view.rows_in_range(span):
            view.delete(span.table, row[: span.table.key_size])
            if span.table is USER_TAG_USES:
                _add_usage(row.quarter, row.tag, -1, -row.uses, view)


class TagUse(NamedTuple):
    """How much a tag was used in the quarter of an hour that began at `since` (Unix ms)."""

    since: int
    uses: int
    accounts: int


class TrendingTag(NamedTuple):
    """A (folded) hashtag that is used more than usual.

    `uses` counts posts and `accounts` the different accounts of the last two hours; `history` has
    each quarter of an hour of them, the oldest first.
    """

    tag: str
    score: float
    uses: int
    accounts: int
    history: tuple[TagUse, ...]


def surprise_score(observed: int, expected: float) -> float:
    """How surprising it is to see so many accounts where so many were expected."""
    if observed < MIN_ACCOUNTS or observed <= expected:
        return 0.0
    return (observed - expected) ** 2 / (expected + 3)


async def find_trends(store: ReadStore, at_ms: int, limit: int) -> list[TrendingTag]:
    """The tags that trended at a time (Unix ms), the most surprising first, equal ones by tag."""
    if limit < 1:
        return []
    now = at_ms // QUARTER_MS
    observed = {row.tag: row.accounts for row in await store.scan(TAG_WINDOWS, (now,))}
    best = await _best_tags(store, now, observed, limit)
    return [await _load_trend(store, now, tag, -negative) for negative, tag in best]


async def read_tag_uses(
    store: ReadStore, at_ms: int, tags: Collection[str]
) -> dict[str, list[TagUse]]:
    """The uses of (folded) tags in the two hours before a time (Unix ms), the oldest first."""
    now = at_ms // QUARTER_MS
    quarters = range(now - WINDOW_QUARTERS + 1, now + 1)
    rows = await store.get_many(TAG_USAGE, {(quarter, tag) for quarter in quarters for tag in tags})
    found: dict[str, list[TagUse]] = {tag: [] for tag in tags}
    for (quarter, tag), row in sorted(rows.items()):
        found[tag].append(TagUse(quarter * QUARTER_MS, row.uses, row.accounts))
    return found


async def _best_tags(
    store: ReadStore, now: int, observed: dict[str, int], limit: int
) -> list[tuple[float, str]]:
    """(minus the score, tag) of the best.

    The most used come first: no score is higher than that of a tag with an expectation of 0, so the
    search can end once enough better ones were found.
    """
    used = sorted((-o, tag) for tag, o in observed.items() if o >= MIN_ACCOUNTS)
    best: list[tuple[float, str]] = []
    for start in range(0, len(used), _TAGS_PER_READ):
        tags = [tag for _, tag in used[start : start + _TAGS_PER_READ]]
        if len(best) == limit and surprise_score(observed[tags[0]], 0) < -best[-1][0]:
            break
        expected = await _expected_accounts(store, now, tags)
        best += [(-surprise_score(observed[tag], expected[tag]), tag) for tag in tags]
        best = nsmallest(limit, (scored for scored in best if scored[0] < 0))
    return best


async def _expected_accounts(store: ReadStore, now: int, tags: Sequence[str]) -> dict[str, float]:
    """How many accounts used each tag in these two hours of a day, on average."""
    before = range(now - COMPARED_DAYS * QUARTERS_PER_DAY, now, QUARTERS_PER_DAY)
    keys = [(quarter, tag) for quarter in before for tag in tags]
    sums = dict.fromkeys(tags, 0)
    for row in (await store.get_many(TAG_WINDOWS, keys)).values():
        sums[row.tag] += row.accounts
    return {tag: accounts / COMPARED_DAYS for tag, accounts in sums.items()}


async def _load_trend(store: ReadStore, now: int, tag: str, score: float) -> TrendingTag:
    quarters = range(now - WINDOW_QUARTERS + 1, now + 1)
    rows = await store.get_many(TAG_USAGE, [(quarter, tag) for quarter in quarters])
    accounts: set[int] = set()
    history = []
    for quarter in quarters:
        row = rows.get((quarter, tag))
        if row is not None:
            users = await store.scan(USER_TAG_USES, (quarter, tag), index=BY_QUARTER)
            accounts.update(use.user for use in users)
        history.append(
            TagUse(quarter * QUARTER_MS, row.uses if row else 0, row.accounts if row else 0)
        )
    uses = sum(use.uses for use in history)
    return TrendingTag(tag, score, uses, len(accounts), tuple(history))
