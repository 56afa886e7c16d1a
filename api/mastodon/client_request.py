"""What routes of the Mastodon API ask of a request: ids in addresses, and commands that are seen.

Mastodon's clients write and read in the next request, and know of no positions. So a command is
answered when its views show it, or after a bounded wait.
"""

from collections.abc import Collection
from typing import Annotated, Final

from fastapi import Depends, Path

from api.http.request import Commander, require_unblocked
from api.http.tokens import Viewer
from api.ports import VIEW_WAIT_SECONDS
from api.state import ApiState, CurrentState
from api.views.posts import PageEntry, SinglePost
from commands.decider import Command
from commands.request import CommandOutcome
from commands.rules import post_not_found, user_not_found
from events.ids.snowflake import parse_decimal
from projections.timeline import TimelineEntry
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


async def find_entries(state: ApiState, ids: Collection[int]) -> list[PageEntry]:
    """What the ids of statuses name: posts, whether or not there are such, and retweets, which are
    statuses of their own.
    """
    unknown = set(ids) - (await state.statuses.pieces(ids)).keys()
    store = state.ports.views.current_store("timeline")
    retweets = await find_retweets(store, unknown) if unknown else {}
    return [
        TimelineEntry(id, retweets[id].post, retweets[id].actor)
        if id in retweets
        else SinglePost(id)
        for id in ids
    ]


async def find_entry(id: Annotated[str, Path()], state: CurrentState) -> PageEntry:
    """What the id of a status names. Raises `NotFound` for a text that is no id."""
    status = parse_decimal(id)
    if not status:
        raise post_not_found(id[:40])
    [entry] = await find_entries(state, (status,))
    return entry


StatusEntry = Annotated[PageEntry, Depends(find_entry)]
"""The post or the retweet in the address, whether or not there is such a post."""


async def _post_of_entry(entry: StatusEntry) -> int:
    return entry.post


StatusId = Annotated[int, Depends(_post_of_entry)]
"""The post in the address, or what the retweet there retweets; whether or not there is one."""


async def require_visible(post: StatusId, viewer: Viewer, state: CurrentState) -> int:
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


VisibleStatus = Annotated[int, Depends(require_visible)]
"""The post in the address. Raises `NotFound` where the reader can't see it."""
AccountId = Annotated[int, Depends(_account_from_path)]
"""The account in the address. Raises `NotFound` where there is none."""
AccountSubject = Annotated[int, Depends(_account_to_change)]
"""The same for commands, from the log: an account may be newer than the views."""


async def render_status(state: ApiState, post: int, viewer: int) -> bytes:
    """A post as an entity. Raises `NotFound`."""
    return await render_entry(state, SinglePost(post), viewer)


async def render_entry(state: ApiState, entry: PageEntry, viewer: int) -> bytes:
    """A post or a retweet as an entity. Raises `NotFound`."""
    rendered = await state.statuses.render((entry,), viewer)
    if not rendered:
        raise post_not_found(entry.post)
    return rendered[0]


async def render_account(state: ApiState, user: int) -> bytes:
    """An account as an entity. Raises `NotFound`."""
    rendered = await state.statuses.accounts.render((user,))
    if user not in rendered:
        raise user_not_found(user)
    return rendered[user]
