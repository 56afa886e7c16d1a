"""What an API process remembers of the pages of home that it showed to a reader.

It outlives the reader's relations, so that walks go on where they were when an entry that they
showed is gone, and show no post again that stands further down by now.
"""

from typing import Final

from projections.home.viewer import ViewerContext
from projections.pages import EntryBounds
from projections.timeline import EntryPage

_MAX_PLACES: Final = 160
"""Posts whose places are remembered: those of the last pages."""
_MAX_STRETCHES: Final = 16
"""Stretches of a home timeline that are remembered; a walk is one, as long as relations stay."""


class ShownPages:
    """The places of posts, and which stretches were read with which relations."""

    __slots__ = ("_stretches", "places")

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        """Under a post that the reader was shown, the id of the entry that showed it last. A
        cursor that names the post means that place, wherever the post stands now."""
        self._stretches: list[tuple[int, int, ViewerContext]] = []
        """(first entry id, the one beyond the last, relations), the newest last."""

    def note_page(self, page: EntryPage, bounds: EntryBounds, viewer: ViewerContext) -> None:
        """Put a page in its order, newest first, and note where it shows its posts: those that may
        move, and the first and last one, from which clients go on."""
        if bounds.ascending:
            page.reverse()
        if not page:
            return
        self._note_stretch(page, bounds, viewer)
        places = self.places
        for id, post, retweeter in page:
            if retweeter is not None or post in places:
                places.pop(post, None)  # the newest places stand last
                places[post] = id
        for id, post, _ in (page[0], page[-1]):
            places[post] = id
        while len(places) > _MAX_PLACES:
            del places[next(iter(places))]

    def shown_above(self, below: int | None, post: int, author: int) -> bool:
        """Whether a walk that goes on `below` an entry has shown a post at its own place already.

        The place of a retweet lies above its post's, unless it was given an id by a clock that is
        behind: where the reader left the author meanwhile, the post would then show again.
        """
        if below is None or post < below:
            return False
        for first, end, viewer in reversed(self._stretches):
            if first <= post < end:
                return author in viewer.authors
        return False

    def _note_stretch(self, page: EntryPage, bounds: EntryBounds, viewer: ViewerContext) -> None:
        first, end = page[-1].id, page[0].id + 1
        if not bounds.ascending and bounds.below is not None:
            end = bounds.below
        stretches = self._stretches
        if stretches and stretches[-1][0] == end and stretches[-1][2] is viewer:
            end = stretches.pop()[1]
        stretches.append((first, end, viewer))
        if len(stretches) > _MAX_STRETCHES:
            del stretches[0]
