"""Statuses: posting, editing and deleting, threads, and how a post was before."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypedDict

from fastapi import APIRouter
from pydantic import Field

from api.http.errors import RequestRefused
from api.http.request import Commands, blocked_users, hidden_users
from api.http.tokens import Viewer
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_request import (
    StatusEntry,
    StatusId,
    VisibleStatus,
    find_entries,
    find_entry,
    render_account,
    render_entry,
    render_status,
    run_seen,
)
from api.mastodon.content import without_own_domain
from api.mastodon.entities import EmptyList, EntityResponse, Html, Id, Time, about, entity
from api.mastodon.parameters import (
    ClientParameters,
    Flag,
    OptionalText,
    Text,
    Texts,
    example,
    objects,
    reads,
)
from api.mastodon.status_entities import StatusEntity
from api.schemas import encode_json
from api.state import ApiState, CurrentState
from api.views.posts import SinglePost
from commands.post import CreatePost, DeletePost, EditPost
from commands.retweet import Unretweet
from commands.rules import post_not_found
from events import streams
from events.codec import EVENT_CODEC
from events.ids.snowflake import parse_decimal, time_ms
from events.log import run_read
from events.schema import PostCreated, PostEdited
from events.sealed_text import open_stored
from events.times import rfc3339
from projections.post_thread import read_thread

_MOST_AT_ONCE: Final = 40

router = APIRouter(prefix="/api/v1/statuses", tags=["mastodon"])


class DeletedStatusEntity(StatusEntity):
    """A status that is gone."""

    text: Annotated[str, about("As written, so that it can be posted again")]


class ContextEntity(TypedDict):
    """The thread that a status is in."""

    ancestors: Annotated[list[StatusEntity], about("The first post first; 40 at most")]
    descendants: Annotated[list[StatusEntity], about("A tree, each parent before its answers")]


class StatusSourceEntity(TypedDict):
    """A status as it is edited: its texts as written."""

    id: Id
    text: str
    spoiler_text: str


class StatusVersion(TypedDict):
    """A version of a status, without its account."""

    content: Html
    spoiler_text: str
    sensitive: bool
    created_at: Annotated[Time, about("When it was written")]
    media_attachments: EmptyList
    emojis: EmptyList
    poll: Annotated[None, about("There are no polls")]


class StatusEditEntity(StatusVersion):
    """A version of a status."""

    account: AccountEntity


class NewStatus(ClientParameters):
    """What a client posts. What Starling can't do as asked is refused, never published openly."""

    model_config = example(status="Hello #world", spoiler_text="A greeting", language="en")

    status: Annotated[
        Text,
        Field(
            description="The text, 280 characters at most; a `spoiler_text` without it is "
            "taken for it"
        ),
    ] = ""
    in_reply_to_id: Annotated[OptionalText, Field(description="The status that is answered")] = None
    media_ids: Annotated[
        Texts,
        Field(
            description="Images that were uploaded, in this order. An edit names those that "
            "the post has"
        ),
    ] = Field(default_factory=list)
    media_attributes: Annotated[
        Any,
        objects("id", "description", listed=True),
        Field(
            description="Of an edit: the images' descriptions as they are; other ones are refused"
        ),
    ] = None
    visibility: Annotated[
        OptionalText, Field(description="`public`, or nothing: others are refused")
    ] = None
    spoiler_text: Annotated[
        OptionalText, Field(description="A text to show before the content, 280 characters at most")
    ] = None
    sensitive: Annotated[Flag, Field(description="Whether to cover the images first")] = None
    language: Annotated[OptionalText, Field(description="A tag of BCP 47, as `de` or `pt-BR`")] = (
        None
    )
    scheduled_at: Annotated[
        OptionalText, Field(description="Refused: there are no scheduled statuses")
    ] = None
    poll: Annotated[Any, Field(description="Refused: there are no polls")] = None
    quoted_status_id: Annotated[OptionalText, Field(description="Refused: there are no quotes")] = (
        None
    )
    quote_id: Annotated[OptionalText, Field(description="Refused, as `quoted_status_id`")] = None

    def refuse_unsupported(self) -> None:
        """Raises `RequestRefused` (422) for what would be shown otherwise than it was meant."""
        if self.visibility not in (None, "public"):
            raise _unsupported(f"visibility {self.visibility[:20]!r}: posts here are public")
        for name in ("scheduled_at", "poll", "quoted_status_id", "quote_id"):
            if getattr(self, name):
                raise _unsupported(f"`{name}` is not supported by this server")

    @property
    def language_tag(self) -> str | None:
        """The language as a tag of BCP 47; some clients send a locale."""
        return self.language and self.language.replace("_", "-")


class StatusIds(ClientParameters):
    """The statuses that are wanted."""

    id: Annotated[Texts, Field(description="Ids, of which 40 are looked at")] = Field(
        default_factory=list
    )


def _unsupported(what: str) -> RequestRefused:
    return RequestRefused(422, "invalid-body", f"Validation failed: {what}")


@router.post("")
async def post_status(
    commands: Commands, state: CurrentState, new: Annotated[NewStatus, reads(NewStatus)]
) -> EntityResponse[StatusEntity]:
    """Post, or answer a post."""
    new.refuse_unsupported()
    parent = None
    if new.in_reply_to_id is not None:
        parent = (await find_entry(new.in_reply_to_id, state)).post
    spoiler_text = new.spoiler_text
    text = without_own_domain(new.status, state.ports.base_url)
    if spoiler_text and not text.strip():  # a warning of nothing is the text, as in Mastodon
        text, spoiler_text = spoiler_text, None
    command = CreatePost(
        text, parent, tuple(new.media_ids), new.sensitive, spoiler_text, new.language_tag
    )
    outcome = await run_seen(state, commands, command, new.media_ids)
    return entity(await render_status(state, outcome.id, commands.actor))


@router.get("")
async def get_statuses(
    viewer: Viewer, state: CurrentState, wanted: Annotated[StatusIds, reads(StatusIds)]
) -> EntityResponse[list[StatusEntity]]:
    """Those of some statuses that there are."""
    ids = [id for text in wanted.id[:_MOST_AT_ONCE] if (id := parse_decimal(text))]
    blocked = await blocked_users(state, viewer)
    found = await state.post_views.exclude_authors(await find_entries(state, ids), blocked)
    shown = [one for one in found if one.retweeter not in blocked]
    return entity(await state.statuses.render_list(shown, viewer))


@router.get("/{id}")
async def get_status(
    post: VisibleStatus, entry: StatusEntry, viewer: Viewer, state: CurrentState
) -> EntityResponse[StatusEntity]:
    """A status: a post, or a retweet with the post inside."""
    if entry.retweeter in await blocked_users(state, viewer):
        raise post_not_found(post)
    return entity(await render_entry(state, entry, viewer))


@router.put("/{id}")
async def edit_status(
    commands: Commands,
    post: StatusId,
    state: CurrentState,
    new: Annotated[NewStatus, reads(NewStatus)],
) -> EntityResponse[StatusEntity]:
    """Change one's own post; what is absent stays as it was."""
    new.refuse_unsupported()
    await _refuse_changed_media(state, post, new)
    given, text, spoiler_text = new.model_fields_set, None, None
    if "status" in given:
        text = without_own_domain(new.status, state.ports.base_url)
    if "spoiler_text" in given:
        spoiler_text = new.spoiler_text or ""
    command = EditPost(post, text, new.sensitive, spoiler_text, new.language_tag)
    await run_seen(state, commands, command)
    return entity(await render_status(state, post, commands.actor))


async def _refuse_changed_media(state: ApiState, post: int, new: NewStatus) -> None:
    """Clients send the images of a post with each edit; the ones that it has may be sent."""
    pieces = (await state.statuses.pieces((post,))).get(post)
    shown = {medium.id: medium.alt for medium in pieces.media} if pieces is not None else {}
    if "media_ids" in new.model_fields_set and new.media_ids != list(shown):
        raise _unsupported("`media_ids`: the images of a post can't be changed")
    given = new.media_attributes if isinstance(new.media_attributes, list) else ()
    for one in given:
        alt = one.get("description") if isinstance(one, dict) else None
        if alt is not None and alt != shown.get(str(one.get("id"))):
            raise _unsupported("`media_attributes`: texts of a post's images can't be changed")


@router.delete("/{id}")
async def delete_status(
    commands: Commands, entry: StatusEntry, state: CurrentState
) -> EntityResponse[DeletedStatusEntity]:
    """Delete one's own post. The answer has its text as written, to be posted again, and its
    images last another day. Of a retweet, the retweet goes, and never the post inside.
    """
    post = entry.post
    pieces = (await state.statuses.pieces((post,))).get(post)
    if pieces is None:  # no reader sees it, but its author may erase what an operator removed
        await run_seen(state, commands, DeletePost(post))
        raise post_not_found(post)
    rendered = await render_entry(state, entry, commands.actor)
    if entry.retweeter is not None:
        if entry.retweeter != commands.actor:
            raise post_not_found(post)
        await run_seen(state, commands, Unretweet(post))
    else:
        if pieces.author == commands.actor:
            await state.media.offer_again(commands.actor, pieces.media)
        await run_seen(state, commands, DeletePost(post))
    return entity(rendered[:-1] + b',"text":%s}' % encode_json(pieces.text))


@router.get("/{id}/context")
async def get_context(
    post: VisibleStatus, viewer: Viewer, state: CurrentState
) -> EntityResponse[ContextEntity]:
    """The posts above, root first, and the tree below, each parent before its answers."""
    hidden = await hidden_users(state, viewer)
    thread = await read_thread(state.ports.views.current_store("posts"), post, hidden)
    rendered = [
        await state.statuses.render_list([SinglePost(id) for id in ids], viewer) for ids in thread
    ]
    return entity(b'{"ancestors":%s,"descendants":%s}' % tuple(rendered))


@router.get("/{id}/source")
async def get_source(
    post: VisibleStatus, state: CurrentState
) -> EntityResponse[StatusSourceEntity]:
    """The entity `StatusSource`: the texts as written."""
    pieces = await state.statuses.pieces((post,))
    one = pieces[post]
    return entity({"id": str(post), "text": one.text, "spoiler_text": one.spoiler_text})


@router.get("/{id}/history")
async def get_history(
    post: VisibleStatus, state: CurrentState
) -> EntityResponse[list[StatusEditEntity]]:
    """The entities `StatusEdit`: all versions of a post, oldest first."""
    pieces = await state.statuses.pieces((post,))
    account = await render_account(state, pieces[post].author)
    edits = [
        b'{"account":%s,%s' % (account, encode_json(version)[1:])
        for version in await _versions(state, post)
    ]
    return entity(b"[" + b",".join(edits) + b"]")


async def _versions(state: ApiState, post: int) -> Sequence[StatusVersion]:
    log = state.ports.log
    versions: list[StatusVersion] = []
    for stored in await run_read(log, log.read_stream, streams.post_stream(post)):
        opened = open_stored(stored, state.ports.open_text)
        event = EVENT_CODEC.decode(opened.type, opened.schema, opened.data)
        if isinstance(event, PostCreated | PostEdited):
            versions.append(
                {
                    "content": await state.statuses.content(event.text),
                    "spoiler_text": event.spoiler_text,
                    "sensitive": event.sensitive or bool(event.spoiler_text),
                    "created_at": rfc3339(time_ms(stored.id)),
                    "media_attachments": [],
                    "emojis": [],
                    "poll": None,
                }
            )
    return versions
