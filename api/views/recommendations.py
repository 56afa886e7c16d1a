"""What is recommended to a reader, as far as it is shown.

The views that recommendations are made from know nothing of suspended accounts, which are few: what
turns out not to be shown is left out, and the rest is asked for again, so that a page is full.
"""

from collections.abc import Sequence
from typing import Final

from api.state import ApiState
from projections.recommended_posts import RecommendedPost, recommend_posts
from projections.recommended_users import RecommendedUser, recommend_users

_ROUNDS: Final = 4
"""After so many a page is shorter than it might be."""


async def find_users_to_follow(
    state: ApiState, reader: int, limit: int
) -> Sequence[RecommendedUser]:
    """Users to follow, the best first, of accounts that are neither deleted nor suspended."""
    hidden = (await state.ports.home.viewer_context(reader)).hidden
    store = state.ports.views.current_store("recommendations")
    shown: Sequence[RecommendedUser] = ()
    for _ in range(_ROUNDS):
        found = await recommend_users(store, reader, hidden, limit)
        active = await state.post_views.active_users([one.user for one in found])
        shown = [one for one in found if one.user in active]
        if len(shown) == len(found):
            break
        hidden = hidden | {one.user for one in found if one.user not in active}
    return shown


async def find_posts_to_read(
    state: ApiState, reader: int, limit: int
) -> Sequence[tuple[RecommendedPost, bytes]]:
    """Posts that users whom the reader follows liked or retweeted, the best first, as JSON."""
    context = await state.ports.home.viewer_context(reader)
    store = state.ports.views.current_store("posts")
    left_out: set[int] = set()
    shown: list[tuple[RecommendedPost, bytes]] = []
    for _ in range(_ROUNDS):
        found = await recommend_posts(
            store,
            reader,
            context.following,
            context.hidden,
            state.ports.clock_ms(),
            limit,
            left_out,
        )
        posts = [one.post for one in found]
        rendered = await state.post_views.render_posts(posts, reader)
        shown = [(one, rendered[one.post]) for one in found if one.post in rendered]
        if len(shown) == len(found):
            break
        left_out |= set(posts) - rendered.keys()
    return shown
