"""The pages that the `url` of entities names: a profile, a post with its answers, a hashtag.

They are for readers without an account, for links that are passed on, and for programs that make
previews of these: HTML that needs no script, with Open Graph. They show what such a reader sees,
whatever the token.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response

from api.http.request import fresh_views
from api.mastodon.client_request import SEEN_VIEWS
from api.mastodon.content import hashtag_url, post_url, profile_url
from api.state import ApiState, CurrentState
from api.views.posts import SinglePost
from api.web.templates import render_page
from events.hashtags import fold_hashtag
from events.ids.snowflake import parse_decimal
from projections import timeline_pages
from projections.pages import PageRequest
from projections.post_thread import read_thread
from projections.profiles import find_by_handle
from projections.timeline import EntryPage

PREVIEW_CHARACTERS: Final = 200
"""Of a text that stands in a preview."""

_EVERYONE: Final = 0
"""The viewer who has no account, and therefore blocks and mutes none."""

Entity = dict[str, Any]

router = APIRouter(include_in_schema=False, dependencies=[fresh_views(*SEEN_VIEWS)])


class Preview(NamedTuple):
    """What others show of a page that is linked to (ogp.me)."""

    type: str
    title: str
    description: str
    url: str
    image: str | None = None


async def _before(before: Annotated[str | None, Query()] = None) -> PageRequest:
    """The page of what is older than a post; the newest where there is no such id."""
    return PageRequest(max_id=parse_decimal(before or "") or None)


Older = Annotated[PageRequest, Depends(_before)]


@router.get("/@{handle}")
async def show_profile(
    handle: Annotated[str, Path()], older: Older, state: CurrentState
) -> Response:
    """What an account says of itself, and its posts and retweets."""
    account = await _find_account(state, handle)
    if account is None:
        return _not_found("There is no such account, or no more.")
    store = state.ports.views.current_store("timeline")
    entries: EntryPage = await timeline_pages.read_user_timeline(
        store, int(account["id"]), older, frozenset()
    )
    name, base_url = account["username"], state.ports.base_url
    preview = Preview(
        "profile",
        f"{account['display_name']} (@{name})",
        f"{account['statuses_count']} posts, {account['followers_count']} followers",
        profile_url(base_url, name),
        account["avatar_static"],
    )
    return await _list_page(state, preview, f"user/@{name}", entries, older, account)


@router.get("/@{handle}/{id}")
async def show_post(
    handle: Annotated[str, Path()], id: Annotated[str, Path()], state: CurrentState
) -> Response:
    """A post, what it answers, and its answers."""
    post, account = parse_decimal(id) or 0, await _find_account(state, handle)
    found = await state.statuses.render((SinglePost(post),), _EVERYONE) if post else []
    status = msgspec.json.decode(found[0]) if found else None
    if account is None or status is None or status["account"]["id"] != account["id"]:
        return _not_found("There is no such post, or no more.")
    thread = await read_thread(state.ports.views.current_store("posts"), post, frozenset())
    above, below = [
        _decode(await state.statuses.render_list([SinglePost(one) for one in ids], _EVERYONE))
        for ids in thread
    ]
    name = account["username"]
    said = status["spoiler_text"] or (await state.statuses.pieces((post,)))[post].text
    images = [] if status["sensitive"] else status["media_attachments"]
    preview = Preview(
        "article",
        f"{account['display_name']} (@{name})",
        _shorten(said),
        post_url(state.ports.base_url, name, post),
        images[0]["preview_url"] if images else account["avatar_static"],
    )
    return _page(state, preview, f"post/{post}", [*above, status, *below], shown=status["id"])


@router.get("/tags/{tag}")
async def show_hashtag(tag: Annotated[str, Path()], older: Older, state: CurrentState) -> Response:
    """The posts with a hashtag."""
    folded = fold_hashtag(tag)
    store = state.ports.views.current_store("timeline")
    entries = await timeline_pages.read_hashtag_timeline(store, folded, older, frozenset())
    preview = Preview(
        "website", f"#{folded}", f"Posts with #{folded}", hashtag_url(state.ports.base_url, folded)
    )
    return await _list_page(state, preview, f"tag/{folded}", entries, older)


async def _find_account(state: ApiState, handle: str) -> Entity | None:
    row = await find_by_handle(state.ports.views.current_store("profiles"), handle.lower())
    if row is None or not await state.post_views.is_active(row.user):
        return None
    account: Entity = msgspec.json.decode(
        (await state.statuses.accounts.render((row.user,)))[row.user]
    )
    return account


async def _list_page(
    state: ApiState,
    preview: Preview,
    place: str,
    entries: EntryPage,
    wanted: PageRequest,
    account: Entity | None = None,
) -> Response:
    statuses = _decode(await state.statuses.render_list(entries, _EVERYONE))
    last = entries.scanned_to or (entries[-1].id if len(entries) == wanted.limit else None)
    return _page(state, preview, place, statuses, account=account, older=last)


def _page(
    state: ApiState,
    preview: Preview,
    place: str,
    statuses: Sequence[Mapping[str, Any]],
    *,
    account: Entity | None = None,
    shown: str | None = None,
    older: int | None = None,
) -> Response:
    base_url = state.ports.base_url
    return render_page(
        "public.html", 200, f"img-src {base_url}",
        preview=preview, place=f"{base_url}/#{place}", base_url=base_url, account=account,
        statuses=statuses, shown=shown, older=older,
    )  # fmt: skip


def _not_found(problem: str) -> Response:
    return render_page("refusal.html", 404, problem=problem)


def _decode(rendered: bytes) -> list[Entity]:
    found: list[Entity] = msgspec.json.decode(rendered)
    return found


def _shorten(text: str) -> str:
    """A text in one line, cut at a word where it is too long."""
    line = " ".join(text.split())
    if len(line) <= PREVIEW_CHARACTERS:
        return line
    return line[:PREVIEW_CHARACTERS].rsplit(" ", 1)[0] + "…"
