"""Every projection there is, once."""

from typing import Final

from projections.posts import Posts
from projections.profiles import Profiles
from projections.projection import Projection
from projections.trending import Trending

CATALOG: Final[tuple[Projection, ...]] = (Profiles(), Posts(), Trending())
"""In no order that matters: no projection reads another's tables."""
