"""Timelines: home, all posts, and those with a hashtag."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.http.request import hidden_users
from api.http.tokens import Reader, Viewer
from api.mastodon.client_pages import ClientPage, StatusesPage
from api.mastodon.entities import EntityResponse, entity
from api.mastodon.parameters import ClientParameters, Flag, OptionalText, reads
from api.mastodon.status_entities import StatusEntity
from api.state import ApiState, CurrentState
from api.views.posts import PageEntry
from events.hashtags import fold_hashtag
from projections import timeline_pages
from projections.timeline import EntryPage

router = APIRouter(prefix="/api/v1/timelines", tags=["mastodon"])


class TimelineFilter(ClientParameters):
    """What a timeline leaves out."""

    only_media: Annotated[Flag, Field(description="Only posts with images")] = None
    remote: Annotated[Flag, Field(description="Only those of other servers: none")] = None
    exclude_replies: Annotated[Flag, Field(description="Without answers")] = None
    exclude_reblogs: Annotated[Flag, Field(description="Without retweets")] = None
    tagged: Annotated[OptionalText, Field(description="Only posts with this hashtag")] = None


async def entries_page(
    state: ApiState,
    page: ClientPage,
    entries: EntryPage,
    viewer: int,
    wanted: TimelineFilter | None = None,
) -> EntityResponse[list[StatusEntity]]:
    """A page of statuses. The links come from all entries, so a walk goes on past what a filter
    leaves out.
    """
    shown = await _filter_entries(state, entries, wanted) if wanted is not None else entries
    body = await state.statuses.render_list(shown, viewer)
    ends = [entries[0].id, entries[-1].id] if entries else []
    return entity(body, page.link_header(ends, entries.scanned_to))


async def _filter_entries(
    state: ApiState, entries: EntryPage, wanted: TimelineFilter
) -> Sequence[PageEntry]:
    if wanted.remote:
        return []
    pieces = await state.statuses.pieces([entry.post for entry in entries])
    tag = fold_hashtag(wanted.tagged.removeprefix("#")) if wanted.tagged else None
    return [
        entry
        for entry in entries
        if entry.post in pieces
        and not (wanted.only_media and not pieces[entry.post].media)
        and (tag is None or tag in pieces[entry.post].tags)
        and not (wanted.exclude_reblogs and entry.retweeter is not None)
        and not (
            wanted.exclude_replies
            and entry.retweeter is None
            and pieces[entry.post].answers_another
        )
    ]


@router.get("/home")
async def home(
    page: StatusesPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[StatusEntity]]:
    """The posts and retweets of those whom one follows."""
    entries = await state.ports.home.read_page(reader, page.wanted)
    return await entries_page(state, page, entries, reader)


@router.get("/public")
async def public(
    page: StatusesPage,
    viewer: Viewer,
    state: CurrentState,
    wanted: Annotated[TimelineFilter, reads(TimelineFilter)],
) -> EntityResponse[list[StatusEntity]]:
    """All posts."""
    hidden = await hidden_users(state, viewer)
    store = state.ports.views.current_store("timeline")
    entries = await timeline_pages.read_public_timeline(store, page.wanted, hidden)
    return await entries_page(state, page, entries, viewer, wanted)


@router.get("/tag/{tag}")
async def tagged(
    tag: str,
    page: StatusesPage,
    viewer: Viewer,
    state: CurrentState,
    wanted: Annotated[TimelineFilter, reads(TimelineFilter)],
) -> EntityResponse[list[StatusEntity]]:
    """The posts with a hashtag."""
    hidden = await hidden_users(state, viewer)
    store = state.ports.views.current_store("timeline")
    entries = await timeline_pages.read_hashtag_timeline(
        store, tag.removeprefix("#"), page.wanted, hidden
    )
    return await entries_page(state, page, entries, viewer, wanted)
