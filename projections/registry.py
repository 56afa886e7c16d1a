"""Every projection there is, once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from projections import followers, post_rows, profiles, timeline
from projections.followers import FollowersProjection
from projections.home import new_entries
from projections.posts import PostsProjection
from projections.profiles import ProfilesProjection
from projections.projection import Projection
from projections.store import Changes
from projections.timeline import TimelineProjection
from projections.trending import TrendingProjection

ALL_PROJECTIONS: Final[tuple[Projection, ...]] = (
    ProfilesProjection(),
    PostsProjection(),
    FollowersProjection(),
    TimelineProjection(),
    TrendingProjection(),
)
"""In no order that matters: no projection reads another's tables."""

INVALIDATIONS: Final[Mapping[str, Callable[[Changes], Iterable[tuple[int, int]]]]] = {
    "profiles": profiles.find_invalidations,
    "posts": post_rows.find_invalidations,
    "followers": followers.find_invalidations,
    "timeline": timeline.find_invalidations,
}
"""For a projection by its name: what readers must forget after its changes (`InvalidationKind` and
id).
"""

INVALIDATIONS_WITH_ENTRIES: Final = {
    **INVALIDATIONS,
    "timeline": new_entries.invalidations_with_entries,
}
"""The same where processes keep home timelines by what they are told."""
