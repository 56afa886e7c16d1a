"""Every projection there is, once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from projections import arrivals, followers, post_rows, profiles, timeline
from projections.followers import Followers
from projections.posts import Posts
from projections.profiles import Profiles
from projections.projection import Projection
from projections.store import Changes
from projections.timeline import Timeline
from projections.trending import Trending

CATALOG: Final[tuple[Projection, ...]] = (
    Profiles(),
    Posts(),
    Followers(),
    Timeline(),
    Trending(),
)
"""In no order that matters: no projection reads another's tables."""

TOUCHES: Final[Mapping[str, Callable[[Changes], Iterable[tuple[int, int]]]]] = {
    "profiles": profiles.touches,
    "posts": post_rows.touches,
    "followers": followers.touches,
    "timeline": timeline.touches,
}
"""For a projection by its name: what readers must forget after its changes (`Kind` and id)."""

TOLD: Final = {**TOUCHES, "timeline": arrivals.told}
"""The same where processes keep home timelines by what they are told."""
