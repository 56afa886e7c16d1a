"""What readers filter, ready to be compared with posts, from caches that follow invalidations.

A reader without filters costs one look into a dictionary.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from api.ports import Ports
from api.views.cache import IdCache
from events.schema import FilterChanged
from events.sealed_text import map_texts
from projections.batch_loader import BatchLoader
from projections.filters import read_filters
from projections.invalidation import InvalidationKind
from projections.store import OldSchema, ViewAbsent

CACHED_READERS: Final = 20_000


class _Keyword(NamedTuple):
    folded: str
    pattern: re.Pattern[str]


class FilterMatch(NamedTuple):
    """A filter that a post meets: the words that it has, if any; whether it is named itself."""

    filter: FilterChanged
    words: str | None
    is_named: bool


@dataclass(frozen=True, slots=True)
class ReaderFilter:
    """A filter of a reader's, its texts as written."""

    values: FilterChanged
    keywords: Sequence[_Keyword]
    posts: frozenset[int]

    def match(self, post: int, text: str, folded: str) -> FilterMatch | None:
        """Whether a post with a text meets it; `folded` is the text in folded case."""
        words = None
        for keyword in self.keywords:
            # Nearly all texts have nothing of it, which this finds out sooner than a pattern does.
            if keyword.folded in folded and (found := keyword.pattern.search(text)):
                words = found[0]
                break
        is_named = post in self.posts
        return FilterMatch(self.values, words, is_named) if words or is_named else None


class ReaderFilters:
    """Looks up filters."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._cache = IdCache(CACHED_READERS, BatchLoader(self._fetch))

    def hear_invalidations(self, changes: Sequence[tuple[int, int]] | None) -> None:
        """Drop what changed; None is everything."""
        if changes is None:
            self._cache.clear()
            return
        for kind, id in changes:
            if kind == InvalidationKind.FILTERS:
                self._cache.invalidate(id)

    async def of_reader(self, reader: int) -> Sequence[ReaderFilter]:
        """The filters of a reader that have not expired."""
        found = self._cache.peek(reader)
        if found is None:
            found = (await self._cache.get((reader,)))[reader]
        return self._unexpired(found) if found else ()

    async def of_readers(self, readers: Collection[int]) -> dict[int, Sequence[ReaderFilter]]:
        """The same of several, of those who have any."""
        found = await self._cache.get(readers)
        shown = {reader: self._unexpired(filters) for reader, filters in found.items() if filters}
        return {reader: filters for reader, filters in shown.items() if filters}

    async def all_of(self, reader: int) -> list[FilterChanged]:
        """A reader's filters as the view has them now, their texts as written; the expired, too."""
        stored = await read_filters(self._ports.views.current_store("filters"), reader)
        return [map_texts(one, self._ports.open_text) for one in stored]

    def _unexpired(self, filters: Sequence[ReaderFilter]) -> Sequence[ReaderFilter]:
        now_ms = self._ports.clock_ms()
        return [one for one in filters if not 0 < one.values.expires_at <= now_ms]

    async def _fetch(self, readers: Collection[int]) -> Mapping[int, tuple[ReaderFilter, ...]]:
        store = self._ports.views.current_store("filters")
        open_text = self._ports.open_text
        found: dict[int, tuple[ReaderFilter, ...]] = {}
        for reader in readers:
            try:
                stored = await read_filters(store, reader)
            except (ViewAbsent, OldSchema):  # while the view is new
                stored = []
            found[reader] = tuple(compile_filter(map_texts(one, open_text)) for one in stored)
        return found


def compile_filter(values: FilterChanged) -> ReaderFilter:
    """A filter, its texts as written, ready to be compared."""
    return ReaderFilter(
        values,
        [
            _Keyword(one.text.casefold(), _pattern(one.text, one.whole_word))
            for one in values.keywords
            if one.text  # one that was erased looks for nothing
        ],
        frozenset(int(one.post) for one in values.posts),
    )


def _pattern(words: str, whole: bool) -> re.Pattern[str]:
    """A word ends where a letter, digit or `_` stands beside something else."""
    pattern = re.escape(words)
    if whole:
        begin = r"\b" if re.match(r"\w", words) else ""
        end = r"\b" if re.search(r"\w\Z", words) else ""
        pattern = f"{begin}{pattern}{end}"
    return re.compile(pattern, re.IGNORECASE)
