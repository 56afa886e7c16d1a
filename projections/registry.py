"""Every projection there is, once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from projections import filters, personal_records, posts, profiles, timeline
from projections.analytics import AnalyticsProjection
from projections.filters import FiltersProjection
from projections.followers import FollowersProjection
from projections.invalidation import Invalidation
from projections.lists import ListsProjection
from projections.notifications import NotificationsProjection
from projections.personal_records import PersonalRecordsProjection
from projections.posts import PostsProjection
from projections.profiles import ProfilesProjection
from projections.projection import Projection
from projections.recommendations import RecommendationsProjection
from projections.store import Changes
from projections.timeline import TimelineProjection
from projections.trending import TrendingProjection

ALL_PROJECTIONS: Final[tuple[Projection, ...]] = (
    ProfilesProjection(),
    PostsProjection(),
    FollowersProjection(),
    TimelineProjection(),
    TrendingProjection(),
    RecommendationsProjection(),
    AnalyticsProjection(),
    FiltersProjection(),
    ListsProjection(),
    NotificationsProjection(),
    PersonalRecordsProjection(),
)
"""In no order that matters: no projection reads another's tables."""

DEFERRED_PROJECTIONS: Final = frozenset({"trending", "recommendations", "analytics"})
"""Those that count things up. A reader who waits for what it just wrote looks at others, and does
not wait until these have the batch, too."""


class UnknownProjection(LookupError):
    """There is no projection of this name; the message says which there are."""

    def __init__(self, name: str) -> None:
        names = ", ".join(projection.name for projection in ALL_PROJECTIONS)
        super().__init__(f"no projection {name!r}; there are {names}")


def projection_named(name: str) -> Projection:
    """The projection of this name. Raises `UnknownProjection`."""
    for projection in ALL_PROJECTIONS:
        if projection.name == name:
            return projection
    raise UnknownProjection(name)


INVALIDATIONS: Final[Mapping[str, Callable[[Changes], Iterable[Invalidation]]]] = {
    "profiles": profiles.find_invalidations,
    "posts": posts.find_invalidations,
    "filters": filters.find_invalidations,
    "personal_records": personal_records.find_invalidations,
    "timeline": timeline.find_invalidations,
}
"""By a projection's name, what API processes must drop from their caches after its changes."""

INVALIDATIONS_WITH_ENTRIES: Final = {
    **INVALIDATIONS,
    "timeline": timeline.invalidations_with_entries,
}
"""The same where API processes keep home timelines by themselves (`home.rings.LocalRings`)."""
