"""Posts as JSON for readers, put together from pieces of bytes that were rendered once.

A post is cut where other things go in: the author (whose name can change without the post's
doing), and at the end the reader's own marks. One like renders one piece again, one new name
renders one piece again, and a page of twenty posts is a join of eighty. The invalidations that the
projector publishes say which pieces to drop.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import suppress
from itertools import product
from typing import Final, NamedTuple, Protocol

from api.ports import VIEW_WAIT_SECONDS, Ports
from api.schemas import encode_json
from api.views.cache import IdCache, PerViewerCache
from api.views.media import image_of, media_json
from commands.request import CommandOutcome
from commands.rules import post_not_found
from commands.stream_reader import read_state
from commands.user import USER_STATE
from events import streams
from events.codec import EVENT_CODEC
from events.ids.snowflake import time_ms
from events.log import run_read
from events.schema import Event, PostCreated
from events.sealed_text import OpenText, open_stored
from events.times import rfc3339
from projections import posts
from projections.batch_loader import BatchLoader
from projections.invalidation import InvalidationKind
from projections.personal_records import read_kept
from projections.posts import PostWithCounts, read_marks
from projections.profiles import PROFILES, is_suspended
from projections.store import StoreUnavailable

CACHED_POSTS: Final = 20_000
CACHED_AUTHORS: Final = 20_000
CACHED_VIEWERS: Final = 1_000
CACHED_MARKS: Final = 400
"""For each viewer."""

POST_READ_VIEWS: Final = ("posts", "profiles")
"""The views that one post is made from."""

_PLAIN_ENDING: Final = b"}"
"""The end of a post for a request without a token."""

_MARK_ENDINGS: Final = {
    marks: b',"liked":%s,"retweeted":%s,"bookmarked":%s' % tuple(map(encode_json, marks[:3]))
    + (b',"pinned":true}' if marks[3] else b"}")
    for marks in product((False, True), repeat=4)
}
"""The end of a post for a reader who did or did not like, retweet, bookmark and pin it."""


HearInvalidations = Callable[[Sequence[tuple[int, int]] | None], None]


class PageEntry(Protocol):
    """An entry of a page: a post, and the user whose retweet put it there, if it was one."""

    @property
    def post(self) -> int: ...

    @property
    def retweeter(self) -> int | None: ...


class SinglePost(NamedTuple):
    """A post by itself, no retweet of it."""

    post: int
    retweeter: int | None = None


class PostPieces(NamedTuple):
    """A rendered post: the bytes before the author, the author's id, the bytes behind."""

    head: bytes
    author: int
    tail: bytes


class RenderedAuthor(NamedTuple):
    """A rendered author; deleted and suspended ones are cached, too, so that they are not looked up
    again. Both are hidden.
    """

    json: bytes
    deleted: bool
    hidden: bool


class PostViews:
    """Renders posts for readers, from caches that follow the projector's invalidations."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._post_cache = IdCache(CACHED_POSTS, BatchLoader(self._fetch_posts))
        self._author_cache = IdCache(CACHED_AUTHORS, BatchLoader(self._fetch_authors))
        self._marks_cache = PerViewerCache(CACHED_VIEWERS, CACHED_MARKS, self._fetch_marks)
        self._batched_marks = BatchLoader(self._fetch_marked)
        self.invalidation_listeners: list[HearInvalidations] = []
        """Called with what changed, for other caches of the process; None is everything."""

    def apply_invalidations(self) -> None:
        """Drop what the projector changed since the last call. To call before every response."""
        changes = self._ports.invalidations()
        if changes is None or changes:
            for hear in self.invalidation_listeners:
                hear(changes)
        if changes is None:
            self._post_cache.clear()
            self._author_cache.clear()
            self._marks_cache.clear()
            self._ports.home.invalidate_all()
            return
        for kind, id in changes:
            if kind == InvalidationKind.POST:
                self._post_cache.invalidate(id)
            elif kind == InvalidationKind.MARKS:
                self._marks_cache.invalidate(id)
            elif kind == InvalidationKind.PROFILE:
                self._author_cache.invalidate(id)
            self._ports.home.invalidate(kind, id)

    async def is_deleted(self, user: int) -> bool:
        """Whether the account of a user was deleted."""
        author = (await self._author_cache.get((user,))).get(user)
        return author is not None and author.deleted

    async def is_active(self, user: int) -> bool:
        """Whether the views know a user whose account was neither deleted nor suspended."""
        author = self._author_cache.peek(user)
        if author is None:
            author = (await self._author_cache.get((user,))).get(user)
        return author is not None and not author.hidden

    async def active_users(self, users: Collection[int]) -> set[int]:
        """Those of the users whom the views know, and who are neither deleted nor suspended."""
        authors = await self._author_cache.get(users)
        return {user for user, author in authors.items() if not author.hidden}

    async def is_suspended(self, user: int) -> bool:
        """Whether the account of a user is suspended."""
        author = (await self._author_cache.get((user,))).get(user)
        return author is not None and author.hidden and not author.deleted

    async def render_page(self, entries: Sequence[PageEntry], viewer: int) -> bytes:
        """The posts of a page as a JSON array; those deleted meanwhile are left out."""
        rendered = await self._render_entries(entries, viewer)
        return b"[" + b",".join([json for _, json in rendered]) + b"]"

    async def post_exists(self, post: int) -> bool:
        """Whether there is such a post."""
        return await self.render_post(post, 0) is not None

    async def exclude_authors(
        self, entries: Sequence[PageEntry], authors: Set[int]
    ) -> list[PageEntry]:
        """The entries whose posts are by other authors."""
        pieces = await self._post_cache.get([entry.post for entry in entries])
        return [e for e in entries if e.post in pieces and pieces[e.post].author not in authors]

    async def render_post(self, post: int, viewer: int) -> bytes | None:
        """A post as JSON, or None where there is none."""
        return (await self.render_posts((post,), viewer)).get(post)

    async def render_posts(self, posts: Collection[int], viewer: int) -> dict[int, bytes]:
        """Those of the posts that there are, as JSON."""
        rendered = await self._render_entries([SinglePost(post) for post in posts], viewer)
        return {entry.post: json for entry, json in rendered}

    async def render_created(self, outcome: CommandOutcome) -> bytes:
        """A post as it was when it was created: the views may not have it yet."""
        created = await self._creation_event(outcome)
        head, author, tail = _pieces_from_event(created, self._ports.base_url)
        cached: RenderedAuthor | None = None
        # The post is in the log, and the client learns it, whether the views answer or not.
        with suppress(StoreUnavailable):
            cached = (await self._author_cache.get((author,))).get(author)
        if cached is not None:
            author_json = cached.json
        else:
            account = await read_state(self._ports.log, streams.user_stream(author), USER_STATE)
            name = self._ports.open_text(account.name)
            author_json = _author_json(author, account.handle, name)
        return head + author_json + tail + _MARK_ENDINGS[False, False, False, False]

    async def render_edited(self, outcome: CommandOutcome, viewer: int) -> bytes:
        """A post as its author just edited it. Waits for the view; raises `StoreUnavailable`, when
        it takes too long. The same request again is no second edit.
        """
        position = outcome.position
        if not await self._ports.wait_for(POST_READ_VIEWS, position, VIEW_WAIT_SECONDS):
            raise StoreUnavailable("the post is edited, and its view is behind; ask again")
        self.apply_invalidations()
        rendered = await self.render_post(outcome.id, viewer)
        if rendered is None:  # deleted since
            raise post_not_found(outcome.id)
        return rendered

    async def _creation_event(self, outcome: CommandOutcome) -> PostCreated:
        """The event that made a post; from the log where the request was a repeated one."""
        event: Event | None
        if outcome.writes:
            event = outcome.writes[0].events[0].event
        else:
            log = self._ports.log
            stored = await run_read(log, log.event_at, outcome.position)
            if stored is not None:
                stored = open_stored(stored, self._ports.open_text)
            event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data) if stored else None
        if not isinstance(event, PostCreated) or event.post != outcome.id:
            raise post_not_found(outcome.id)
        return event

    async def _render_entries(
        self, entries: Sequence[PageEntry], viewer: int
    ) -> list[tuple[PageEntry, bytes]]:
        ids = [entry.post for entry in entries]
        pieces = await self._post_cache.get(ids)
        if len(pieces) < len(ids):
            pieces |= await self._await_posts([id for id in ids if id not in pieces])
        users = {piece.author for piece in pieces.values()}
        users.update(entry.retweeter for entry in entries if entry.retweeter is not None)
        authors = await self._author_cache.get(users)
        if len(authors) < len(users):
            authors |= await self._await_authors(users - authors.keys())
        marks = await self._marks_cache.get(viewer, ids) if viewer else None
        rendered: list[tuple[PageEntry, bytes]] = []
        for entry in entries:
            piece = pieces.get(entry.post)
            if piece is None or authors[piece.author].hidden:
                continue
            end = _PLAIN_ENDING if marks is None else marks[entry.post]
            if entry.retweeter is not None:
                if authors[entry.retweeter].hidden:
                    continue
                end = b',"retweeted_by":' + authors[entry.retweeter].json + end
            json = piece.head + authors[piece.author].json + piece.tail + end
            rendered.append((entry, json))
        return rendered

    async def _await_posts(self, ids: Collection[int]) -> Mapping[int, PostPieces]:
        """Posts that timelines list and `posts` lacks: deleted, or its view is behind."""
        views = self._ports.views
        position = views.known_position("timeline")
        if views.known_position("posts") >= position:
            return {}
        await self._ports.wait_for(("posts",), position, VIEW_WAIT_SECONDS)
        return await self._post_cache.get(ids)

    async def _await_authors(self, users: Collection[int]) -> Mapping[int, RenderedAuthor]:
        """Users that another view knows and `profiles` lacks: its view is behind."""
        views = self._ports.views
        position = max(views.known_position("posts"), views.known_position("timeline"))
        await self._ports.wait_for(("profiles",), position, VIEW_WAIT_SECONDS)
        found = await self._author_cache.get(users)
        if len(found) < len(users):
            raise StoreUnavailable("the view of profiles is behind the view of posts")
        return found

    async def _fetch_posts(self, ids: Collection[int]) -> Mapping[int, PostPieces]:
        found = await posts.read_posts(self._ports.views.current_store("posts"), ids)
        open_text = self._ports.open_text
        base_url = self._ports.base_url
        return {id: _pieces_from_row(post, open_text, base_url) for id, post in found.items()}

    async def _fetch_authors(self, ids: Collection[int]) -> Mapping[int, RenderedAuthor]:
        # The table itself, because it has the tombstones too.
        found = await self._ports.views.current_store("profiles").get_many(
            PROFILES, [(id,) for id in ids]
        )
        return {
            row.user: RenderedAuthor(
                _author_json(row.user, row.handle, self._ports.open_text(row.name)),
                bool(row.deleted),
                bool(row.deleted) or is_suspended(row),
            )
            for row in found.values()
        }

    async def _fetch_marks(self, viewer: int, ids: Collection[int]) -> Mapping[int, bytes]:
        found = await self._batched_marks([(viewer, id) for id in ids])
        return {id: end for (_, id), end in found.items()}

    async def _fetch_marked(
        self, keys: Collection[tuple[int, int]]
    ) -> Mapping[tuple[int, int], bytes]:
        store = self._ports.views.current_store
        found, kept = await asyncio.gather(
            read_marks(store("posts"), keys), read_kept(store("personal_records"), keys)
        )
        return {key: _MARK_ENDINGS[marks + kept[key]] for key, marks in found.items()}


def _author_json(user: int, handle: str, name: str) -> bytes:
    return b'{"id":"%d","handle":%s,"name":%s}' % (user, encode_json(handle), encode_json(name))


def _pieces_from_row(post: PostWithCounts, open_text: OpenText, base_url: str) -> PostPieces:
    counts = f',"likes":{post.likes},"retweets":{post.retweets},"comments":{post.comments}'
    # These two columns are as they are shown.
    lists = f',"hashtags":{post.hashtags},"mentions":{post.mentions}'
    media = f',"media":{media_json(post.media, open_text, base_url)}'
    edited = f',"edited_at":"{rfc3339(time_ms(post.edited))}"' if post.edited is not None else ""
    return PostPieces(
        _post_head(post.post, open_text(post.text)),
        post.author,
        f"{counts}{lists}{media}{_reply_field(post.reply_to)}{edited}".encode()
        + _warning_fields(post.sensitive, open_text(post.spoiler_text), post.language),
    )


def _pieces_from_event(created: PostCreated, base_url: str) -> PostPieces:
    """A post that was created just now, so nothing is counted yet."""
    media = [image_of(medium, base_url).model_dump() for medium in created.media if medium.type]
    tail = b',"likes":0,"retweets":0,"comments":0,"hashtags":%s,"mentions":%s,"media":%s%s' % (
        encode_json(created.hashtags),
        encode_json(created.mentions),
        encode_json(media),
        _reply_field(created.reply_to).encode(),
    )
    tail += _warning_fields(created.sensitive, created.spoiler_text, created.language)
    return PostPieces(_post_head(created.post, created.text), created.author, tail)


def _post_head(post: int, text: str) -> bytes:
    posted = rfc3339(time_ms(post)).encode()
    template = b'{"id":"%d","text":%s,"date_posted":"%s","posted_by":'
    return template % (post, encode_json(text), posted)


def _warning_fields(sensitive: int, spoiler_text: str, language: str) -> bytes:
    return (
        (b',"sensitive":true' if sensitive else b"")
        + (b',"spoiler_text":' + encode_json(spoiler_text) if spoiler_text else b"")
        + (b',"language":' + encode_json(language) if language else b"")
    )


def _reply_field(post: int | None) -> str:
    return f',"reply_to":"{post}"' if post is not None else ""
