"""What routes of the Mastodon API ask of a request: ids in addresses, and commands that are seen.

Mastodon's clients write and read in the next request, and know of no positions. So a command is
answered when its views show it, or after a bounded wait.
"""

from typing import Annotated, Final

from fastapi import Depends, Path

from api.http.request import Commander, require_unblocked
from api.http.tokens import Viewer
from api.ports import VIEW_WAIT_SECONDS
from api.state import ApiState, CurrentState
from api.views.posts import SinglePost
from commands.decider import Command
from commands.request import CommandOutcome
from commands.rules import post_not_found, user_not_found
from events.ids.snowflake import parse_decimal
from projections.timeline_pages import find_retweets

SEEN_VIEWS: Final = ("timeline", "posts", "profiles", "followers", "personal_records")
"""The views that entities are made from."""


async def await_views(
    state: ApiState, outcome: CommandOutcome, views: tuple[str, ...] = SEEN_VIEWS
) -> None:
    """Wait until the views show what a command did, as long as a client may be kept waiting."""
    await state.ports.wait_for(views, outcome.position, VIEW_WAIT_SECONDS)
    state.post_views.apply_invalidations()


async def run_seen(
    state: ApiState,
    commands: Commander,
    command: Command,
    media: list[str] | None = None,
    views: tuple[str, ...] = SEEN_VIEWS,
) -> CommandOutcome:
    """Run a command, and wait until the views show it."""
    outcome = await commands.run(command, media or ())
    await await_views(state, outcome, views)
    return outcome


async def find_status(id: Annotated[str, Path()], state: CurrentState) -> int:
    """The post of a status; the id of a retweet stands for what is retweeted."""
    status = parse_decimal(id)
    if not status:
        raise post_not_found(id[:40])
    if status not in await state.statuses.pieces((status,)):
        store = state.ports.views.current_store("timeline")
        retweet = (await find_retweets(store, (status,))).get(status)
        return retweet.post if retweet is not None else status
    return status


async def require_visible(
    post: Annotated[int, Depends(find_status)], viewer: Viewer, state: CurrentState
) -> int:
    """The post, if the reader can see it. Raises `NotFound`."""
    found = (await state.statuses.pieces((post,))).get(post)
    if found is None or await state.post_views.is_suspended(found.author):
        raise post_not_found(post)
    await require_unblocked(state, post, viewer)
    return post


async def _account_from_path(id: Annotated[str, Path()], state: CurrentState) -> int:
    user = parse_decimal(id)
    if not user or user not in await state.statuses.accounts.handles((user,)):
        raise user_not_found(user or 0)
    return user


async def _account_to_change(id: Annotated[str, Path()], state: CurrentState) -> int:
    if not parse_decimal(id):
        raise user_not_found(0)
    return await state.ports.references.find_user(id)


StatusId = Annotated[int, Depends(find_status)]
"""The post in the address, whether or not there is one."""
VisibleStatus = Annotated[int, Depends(require_visible)]
"""The post in the address. Raises `NotFound` where the reader can't see it."""
AccountId = Annotated[int, Depends(_account_from_path)]
"""The account in the address. Raises `NotFound` where there is none."""
AccountSubject = Annotated[int, Depends(_account_to_change)]
"""The same for commands, from the log: an account may be newer than the views."""


async def render_status(state: ApiState, post: int, viewer: int) -> bytes:
    """A post as an entity. Raises `NotFound`."""
    rendered = await state.statuses.render((SinglePost(post),), viewer)
    if not rendered:
        raise post_not_found(post)
    return rendered[0]


async def render_account(state: ApiState, user: int) -> bytes:
    """An account as an entity. Raises `NotFound`."""
    rendered = await state.statuses.accounts.render((user,))
    if user not in rendered:
        raise user_not_found(user)
    return rendered[user]
