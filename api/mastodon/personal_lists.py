"""What one keeps: bookmarks, favourites, blocks, mutes and followed hashtags."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Path

from api.http.errors import RequestRefused
from api.http.request import Commands, unblocked_posts
from api.http.tokens import Reader, Viewer
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import AccountsPage, ClientPage, StatusesPage
from api.mastodon.client_request import run_seen
from api.mastodon.discoveries import TagEntity, tag_entity, tag_history
from api.mastodon.entities import EntityResponse, Time, about, entity
from api.mastodon.status_entities import StatusEntity
from api.schemas import encode_json
from api.state import ApiState, CurrentState
from commands.errors import InvalidInput
from commands.followed_hashtag import FollowHashtag, UnfollowHashtag, checked_hashtag
from events.times import optional_rfc3339
from projections import personal_records, posts, trending

router = APIRouter(prefix="/api/v1", tags=["mastodon"])

_VIEWS: Final = ("personal_records",)


class MutedAccountEntity(AccountEntity):
    """An account that one mutes."""

    mute_expires_at: Annotated[Time | None, about("Null where the mute has no end")]


async def listed_statuses(
    state: ApiState, page: ClientPage, rows: Sequence[tuple[int, int]], viewer: int
) -> EntityResponse[list[StatusEntity]]:
    """A page of statuses; rows are (cursor, post)."""
    shown = await unblocked_posts(state, [post for _, post in rows], viewer)
    body = await state.statuses.render_list(shown, viewer)
    return entity(body, page.link_header([id for id, _ in rows]))


@router.get("/bookmarks")
async def bookmarks(
    page: StatusesPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[StatusEntity]]:
    """The statuses that one bookmarked, the newest bookmark first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_bookmarks(store, reader, page.wanted)
    return await listed_statuses(state, page, rows, reader)


@router.get("/favourites")
async def favourites(
    page: StatusesPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[StatusEntity]]:
    """The statuses that one likes, the newest like first."""
    store = state.ports.views.current_store("posts")
    rows = await posts.list_liked(store, reader, page.wanted)
    return await listed_statuses(state, page, rows, reader)


@router.get("/blocks")
async def blocks(
    page: AccountsPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """Whom one blocks, the newest block first."""
    store = state.ports.views.current_store("personal_records")
    return await _accounts(
        state, page, await personal_records.list_blocked(store, reader, page.wanted)
    )


@router.get("/mutes")
async def mutes(
    page: AccountsPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[MutedAccountEntity]]:
    """Whom one mutes: entities `MutedAccount`, the newest mute first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_muted(store, reader, page.wanted)
    held = [row for row in rows if row.holds_at(state.ports.clock_ms())]
    accounts = await state.statuses.accounts.render({row.item for row in held})
    found = [
        b'%s,"mute_expires_at":%s}'
        % (accounts[row.item][:-1], encode_json(optional_rfc3339(row.until)))
        for row in held
        if row.item in accounts
    ]
    # The links come from all rows, so a walk goes on past mutes that have ended.
    links = page.link_header([row.id for row in rows])
    return entity(b"[" + b",".join(found) + b"]", links)


async def _accounts(
    state: ApiState, page: ClientPage, rows: Sequence[personal_records.ListedItem]
) -> EntityResponse[list[AccountEntity]]:
    body = await state.statuses.accounts.render_list([row.item for row in rows])
    return entity(body, page.link_header([row.id for row in rows]))


@router.get("/followed_tags")
async def followed_tags(
    page: AccountsPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[TagEntity]]:
    """The hashtags that one follows: entities `Tag`, the newest follow first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_followed_hashtags(store, reader, page.wanted)
    found = await _tags(state, {row.tag: True for row in rows})
    return entity(found, page.link_header([row.id for row in rows]))


async def _tag_from_path(name: str) -> str:
    try:
        return checked_hashtag(name)
    except InvalidInput as error:
        raise RequestRefused(404, "not-found", "there is no such hashtag") from error


async def _tags(state: ApiState, tags: Mapping[str, bool | None]) -> list[TagEntity]:
    """The entities `Tag`, with whether the reader follows them, unless it is None."""
    now_ms, store = state.ports.clock_ms(), state.ports.views.current_store("trending")
    uses = await trending.read_tag_uses(store, now_ms, tags)
    base_url = state.ports.base_url
    found = []
    for tag, following in tags.items():
        one = tag_entity(tag, base_url, tag_history(uses[tag], now_ms))
        if following is not None:
            one["following"] = following
        found.append(one)
    return found


TagName = Annotated[str, Path(alias="name")]


@router.get("/tags/{name}")
async def get_tag(name: TagName, viewer: Viewer, state: CurrentState) -> EntityResponse[TagEntity]:
    """A hashtag: the entity `Tag`."""
    tag = await _tag_from_path(name)
    store = state.ports.views.current_store("personal_records")
    following = await personal_records.follows_hashtag(store, viewer, tag) if viewer else None
    return entity((await _tags(state, {tag: following}))[0])


@router.post("/tags/{name}/follow")
async def follow_tag(
    name: TagName, commands: Commands, state: CurrentState
) -> EntityResponse[TagEntity]:
    """Follow a hashtag: the entity `Tag` as it is then."""
    tag = await _tag_from_path(name)
    await run_seen(state, commands, FollowHashtag(tag), views=_VIEWS)
    return entity((await _tags(state, {tag: True}))[0])


@router.post("/tags/{name}/unfollow")
async def unfollow_tag(
    name: TagName, commands: Commands, state: CurrentState
) -> EntityResponse[TagEntity]:
    """Follow a hashtag no more: the entity `Tag` as it is then."""
    tag = await _tag_from_path(name)
    await run_seen(state, commands, UnfollowHashtag(tag), views=_VIEWS)
    return entity((await _tags(state, {tag: False}))[0])
