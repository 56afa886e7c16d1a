"""How many accounts use which hashtag when; `projections.trends` reads from it what trends.

Time is cut into quarters of an hour, and each post belongs to the one in its id: a replay gives
the same rows as the day itself.

An author's rows follow from the author's events alone; what authors share is only added to. Rows
older than eight days go when their author uses a hashtag again. An author who never does leaves
them behind: what others do can't remove them, or the order of different people's events would
decide which rows there are.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from events.recorded import Recorded
from events.schema import Event, PostCreated, PostDeleted, PostEdited, UserDeleted
from events.snowflake import first_id_at, time_ms
from events.tags import fold
from projections.projection import Need, View
from projections.store import Span
from projections.tables import Table, Tally

QUARTER_MS: Final = 15 * 60 * 1000
DAY: Final = 96
"""Quarters in a day."""

WINDOW: Final = 8
"""Quarters that make 'now'."""

KEPT: Final = 8 * DAY
"""For so many quarters a use is kept."""

BY_QUARTER: Final = ("quarter", "tag")


class TaggedRow(NamedTuple):
    """The hashtags of a post, folded, each once: a JSON array."""

    author: int
    post: int
    tags: str


class UseRow(NamedTuple):
    """How many posts with the tag an account made in a quarter of an hour (counted from 1970)."""

    user: int
    quarter: int
    tag: str
    uses: int


class Usage(NamedTuple):
    """How many accounts used a tag in a quarter, and in how many posts."""

    quarter: int
    tag: str
    accounts: int
    uses: int


class Window(NamedTuple):
    """The accounts of a tag in the eight quarters that end with this one, summed.

    It is kept as a sum, because finding the trends of a moment needs that of eight days for every
    tag in use.
    """

    quarter: int
    tag: str
    accounts: int


class Gone(NamedTuple):
    """An account that was deleted: what it might still post doesn't count."""

    user: int


TAGGED: Final[Table[TaggedRow]] = Table("tagged", TaggedRow, key=2)
USES: Final[Table[UseRow]] = Table("uses", UseRow, key=3, indexes=(BY_QUARTER,))
GONE: Final[Table[Gone]] = Table("gone", Gone, key=1)
USAGE: Final[Tally[Usage]] = Tally("usage", Usage, key=2)
WINDOWS: Final[Tally[Window]] = Tally("windows", Window, key=2)


def quarter_of(id: int) -> int:
    """The quarter of an hour in a Snowflake id."""
    return time_ms(id) // QUARTER_MS


def looks_back(id: int) -> bool:
    """Whether the event with this id looks for what is too old: one in sixteen does.

    Times and ids have rhythms, which a product's high bits have not (Knuth's Fibonacci hashing).
    """
    return (id * _GOLDEN >> 60) & 15 == 0


_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class Trending:
    """The projection."""

    name = "trending"
    version = 1
    takes: tuple[type[Event], ...] = (PostCreated, PostEdited, PostDeleted, UserDeleted)
    tables: tuple[Table[Any] | Tally[Any], ...] = (
        TAGGED,
        USES,
        GONE,
        USAGE,
        WINDOWS,
    )

    def needs(self, recorded: Recorded) -> Iterator[Need | Span]:
        """The uses that the event adds to, and now and then what is too old."""
        event = recorded.event
        if isinstance(event, PostCreated):
            if event.hashtags:
                yield Need(GONE, (event.author,))
                yield Need(TAGGED, (event.author, event.post))
                yield from _uses(event)
                if looks_back(recorded.id):
                    yield from _outdated(event.author, quarter_of(recorded.id))
        elif isinstance(event, PostEdited | PostDeleted):
            yield Need(GONE, (event.author,))
            yield Need(TAGGED, (event.author, event.post))
            yield Span(USES, (event.author, quarter_of(event.post)))
            if isinstance(event, PostEdited):
                yield from _uses(event)
        elif isinstance(event, UserDeleted):
            yield Span(TAGGED, (event.user,))
            yield Span(USES, (event.user,))

    def project(self, recorded: Recorded, view: View) -> None:
        """Count a post's tags, or take them back."""
        event = recorded.event
        if isinstance(event, PostCreated):
            if event.hashtags and view.get(TAGGED, (event.author, event.post)) is None:
                _count(event, view)
                if looks_back(recorded.id):
                    _forget(_outdated(event.author, quarter_of(recorded.id)), view)
        elif isinstance(event, PostEdited):
            _take_back(event, view)
            if quarter_of(event.post) > quarter_of(recorded.id) - KEPT:
                _count(event, view)
        elif isinstance(event, PostDeleted):
            _take_back(event, view)
        elif isinstance(event, UserDeleted):
            view.put(GONE, Gone(event.user))
            _forget((Span(TAGGED, (event.user,)), Span(USES, (event.user,))), view)


def _outdated(author: int, quarter: int) -> tuple[Span, Span]:
    oldest = quarter - KEPT + 1
    return (
        Span(TAGGED, (author,), below=first_id_at(oldest * QUARTER_MS)),
        Span(USES, (author,), below=oldest),
    )


def _folded(event: PostCreated | PostEdited) -> list[str]:
    return sorted({fold(tag) for tag in event.hashtags})


def _uses(event: PostCreated | PostEdited) -> Iterator[Need]:
    quarter = quarter_of(event.post)
    for tag in _folded(event):
        yield Need(USES, (event.author, quarter, tag))


def _count(event: PostCreated | PostEdited, view: View) -> None:
    """Count the tags that the post has from now on."""
    if not event.hashtags or view.get(GONE, (event.author,)) is not None:
        return
    tags, quarter = _folded(event), quarter_of(event.post)
    view.put(TAGGED, TaggedRow(event.author, event.post, _encode(tags).decode()))
    for tag in tags:
        use = view.get(USES, (event.author, quarter, tag))
        view.put(USES, UseRow(event.author, quarter, tag, use.uses + 1 if use else 1))
        _use(quarter, tag, 0 if use else 1, 1, view)


def _use(quarter: int, tag: str, accounts: int, uses: int, view: View) -> None:
    view.add(USAGE, (quarter, tag), accounts, uses)
    if accounts:
        for end in range(quarter, quarter + WINDOW):
            view.add(WINDOWS, (end, tag), accounts)


def _take_back(event: PostEdited | PostDeleted, view: View) -> None:
    """Take back the tags that the post had until now."""
    row = view.get(TAGGED, (event.author, event.post))
    if row is None:
        return
    view.delete(TAGGED, row[:2])
    quarter = quarter_of(event.post)
    for tag in _decode(row.tags):
        use = view.get(USES, (event.author, quarter, tag))
        if use is None:
            continue
        if use.uses > 1:
            view.put(USES, use._replace(uses=use.uses - 1))
        else:
            view.delete(USES, use[:3])
        _use(quarter, tag, 0 if use.uses > 1 else -1, -1, view)


def _forget(spans: Iterable[Span], view: View) -> None:
    """Take back all that these spans hold of an author."""
    for span in spans:
        for row in view.scan(span):
            view.delete(span.table, row[: span.table.key])
            if span.table is USES:
                _use(row.quarter, row.tag, -1, -row.uses, view)
