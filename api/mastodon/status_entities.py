"""Posts as Mastodon's entity `Status`, put together from pieces of JSON that are rendered once.

A post is cut where other things go in: its account, the post that it retweets, and at the end the
reader's own marks. A retweet is a wrapper: a status of its own id and account around the post.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Final, NamedTuple, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from api.mastodon.account_entities import AccountEntities, AccountEntity
from api.mastodon.content import content_html, hashtag_url, post_url, profile_url
from api.mastodon.entities import Count, EmptyList, Html, Id, Time, Url, about
from api.mastodon.filter_entities import NO_RESULTS, FilterResultEntity, filter_results
from api.mastodon.media_entities import MediaAttachmentEntity, media_attachment, shown_media
from api.ports import Ports
from api.schemas import encode_json
from api.views.cache import IdCache, PerViewerCache
from api.views.muted_conversations import MutedConversations
from api.views.posts import CACHED_MARKS, CACHED_VIEWERS, PageEntry, SinglePost
from api.views.reader_filters import ReaderFilter, ReaderFilters
from commands.text import find_entities
from events.hashtags import fold_hashtag
from events.ids.snowflake import time_ms
from events.schema import Medium
from events.times import rfc3339
from projections import posts, profiles
from projections.batch_loader import BatchLoader
from projections.invalidation import InvalidationKind
from projections.personal_records import read_kept
from projections.posts import POSTS, PostWithCounts

CACHED_STATUSES: Final = 20_000

_NO_REBLOG: Final = b',"reblog":null'

_decode_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class StatusMentionEntity(TypedDict):
    """An account that a status mentions."""

    id: Id
    username: str
    acct: str
    url: Url


class StatusTagEntity(TypedDict):
    """A hashtag in a status."""

    name: Annotated[str, about("Folded, without `#`")]
    url: Url


class StatusBody(TypedDict):
    """What a post's author wrote, and what became of it."""

    content: Annotated[Html, about("HTML, with links of mentions, hashtags and addresses")]
    visibility: Annotated[str, Meta(extra_json_schema={"enum": ["public"]})]
    sensitive: Annotated[bool, about("True of every status with a `spoiler_text`")]
    spoiler_text: Annotated[str, about("A text to show before the content; empty without one")]
    language: Annotated[str | None, about("A tag of BCP 47, as the author's client said")]
    in_reply_to_id: Annotated[Id | None, about("The status that is answered")]
    in_reply_to_account_id: Annotated[Id | None, about("Null where the answered one is gone")]
    media_attachments: list[MediaAttachmentEntity]
    mentions: Annotated[list[StatusMentionEntity], about("Accounts that there are")]
    tags: list[StatusTagEntity]
    emojis: EmptyList
    reblogs_count: Count
    favourites_count: Count
    replies_count: Count
    edited_at: Annotated[Time | None, about("Null unless it was edited")]
    application: Annotated[None, about("Not kept")]
    card: Annotated[None, about("There are no previews of links")]
    poll: Annotated[None, about("There are no polls")]
    quote: Annotated[None, about("There are no quotes")]


class ReaderMarkFields(TypedDict, total=False):
    """What a status is to its reader: only with a user's token."""

    favourited: bool
    reblogged: bool
    bookmarked: bool
    muted: Annotated[bool, about("Whether the reader muted the conversation")]
    filtered: Annotated[list[FilterResultEntity], about("The reader's filters that it meets")]


class StatusEntity(StatusBody, ReaderMarkFields):
    """A post, or a retweet: a status of its own id and account around the post in `reblog`."""

    id: Id
    uri: Annotated[Url, about("The `url`; of a retweet with the retweet's id behind it")]
    url: Url
    created_at: Time
    account: AccountEntity
    reblog: Annotated["StatusEntity | None", about("The post that this is a retweet of")]
    pinned: NotRequired[Annotated[bool, about("Only on one's own statuses")]]


@dataclass(slots=True, eq=False)
class StatusPieces:
    """A post: its author, its texts as written, and the JSON before the account and behind it, open
    at its end.
    """

    author: int
    handle: str
    """Of the author; handles never change."""
    text: str
    spoiler_text: str
    reply_to: int | None
    answered: int | None
    """The author of that post."""
    media: Sequence[Medium]
    """With their alternative texts as written."""
    tags: frozenset[str]
    head: bytes
    tail: bytes

    @property
    def answers_another(self) -> bool:
        """Whether it is an answer, and not one to a post of the same author's: a thread goes on
        so."""
        return self.reply_to is not None and self.answered != self.author

    @property
    def texts(self) -> list[str]:
        """All that filters look at."""
        return [self.spoiler_text, self.text, *(medium.alt for medium in self.media)]


class ReaderMarks(NamedTuple):
    """The end of a post's JSON for one reader; another one, where the reader wrote it."""

    others: bytes
    own: bytes


def _marks(liked: bool, retweeted: bool, bookmarked: bool, muted: bool) -> bytes:
    marks: ReaderMarkFields = {
        "favourited": liked,
        "reblogged": retweeted,
        "bookmarked": bookmarked,
        "muted": muted,
        "filtered": [],
    }
    return b"," + encode_json(marks)[1:]


def _reader_marks(
    liked: bool, retweeted: bool, bookmarked: bool, pinned: bool, muted: bool
) -> ReaderMarks:
    """Only one's own posts say whether they are pinned."""
    end = _marks(liked, retweeted, bookmarked, muted)
    return ReaderMarks(end, b',"pinned":%s%s' % (encode_json(pinned), end))


_MARK_ENDINGS: Final = {marks: _reader_marks(*marks) for marks in product((False, True), repeat=5)}


_UNFILTERED: Final = b',"filtered":[]'
"""What the marks of a reader without filters end with."""


class StatusEntities:
    """Renders posts and retweets for readers."""

    def __init__(
        self, ports: Ports, muted_conversations: MutedConversations, reader_filters: ReaderFilters
    ) -> None:
        self._ports = ports
        self._reader_filters = reader_filters
        self._muted_conversations = muted_conversations
        self.accounts = AccountEntities(ports)
        self._cache = IdCache(CACHED_STATUSES, BatchLoader(self._fetch))
        self._marks_cache = PerViewerCache(CACHED_VIEWERS, CACHED_MARKS, self._fetch_marks)

    def hear_invalidations(self, changes: Sequence[tuple[int, int]] | None) -> None:
        """Drop what changed; None is everything."""
        if changes is None:
            self._cache.clear()
            self._marks_cache.clear()
            self.accounts.clear()
            return
        for kind, id in changes:
            if kind == InvalidationKind.POST:
                self._cache.invalidate(id)
            elif kind == InvalidationKind.PROFILE:
                self.accounts.invalidate(id)
            elif kind == InvalidationKind.MARKS:
                self._marks_cache.invalidate(id)

    async def pieces(self, posts: Collection[int]) -> dict[int, StatusPieces]:
        """Those of the posts that there are."""
        return await self._cache.get(posts)

    async def content(self, text: str) -> str:
        """A text as HTML, with links to the users whom it mentions."""
        users = await self._find_handles({name.lower() for name in find_entities(text).mentions})
        return content_html(text, users, self._ports.base_url)

    async def render_list(self, entries: Sequence[PageEntry], viewer: int) -> bytes:
        """The posts and retweets of a page as an array; those deleted meanwhile are left out. The
        counts of accounts are recent ones.
        """
        rendered = await self._render_entries(entries, viewer, self.accounts.render_recent)
        parts = [b"["]
        for _, status in rendered:
            parts += status
            parts.append(b",")
        parts[max(1, len(parts) - 1) :] = [b"]"]
        return b"".join(parts)

    async def render(self, entries: Sequence[PageEntry], viewer: int) -> list[bytes]:
        """The posts and retweets that there are, each as JSON."""
        rendered = await self._render_entries(entries, viewer, self.accounts.render)
        return [b"".join(status) for _, status in rendered]

    async def render_posts(self, posts: Collection[int], viewer: int) -> dict[int, bytes]:
        """Those of the posts that there are, as JSON."""
        entries = [SinglePost(post) for post in posts]
        rendered = await self._render_entries(entries, viewer, self.accounts.render)
        return {entry.post: b"".join(status) for entry, status in rendered}

    async def render_filtered(
        self, entry: PageEntry, filters: Mapping[int, Sequence[ReaderFilter]]
    ) -> dict[int, bytes]:
        """A post or retweet without a reader's marks but the filters that it meets, for those of
        the readers who have such.
        """
        pieces = (await self._cache.get((entry.post,))).get(entry.post)
        if pieces is None:
            return {}
        found: dict[int, bytes] = {}
        for reader, own in filters.items():
            results = filter_results(own, entry.post, pieces.texts)
            if results != NO_RESULTS:
                rendered = await self._render_entries([entry], 0, self.accounts.render, results)
                if rendered:
                    found[reader] = b"".join(rendered[0][1])
        return found

    async def _render_entries(
        self,
        entries: Sequence[PageEntry],
        viewer: int,
        render_accounts: Callable[[Collection[int]], Awaitable[Mapping[int, bytes]]],
        results: bytes | None = None,
    ) -> list[tuple[PageEntry, Sequence[bytes]]]:
        """`results` are of the filters that the only entry meets, where no reader is named."""
        pieces = await self._cache.get([entry.post for entry in entries])
        users = {one.author for one in pieces.values()}
        users.update([entry.retweeter for entry in entries if entry.retweeter is not None])
        accounts = await render_accounts(users)
        marks = None
        filters: Sequence[ReaderFilter] = ()
        if viewer:
            marks = await self._marks_cache.get(viewer, pieces)
            filters = await self._reader_filters.of_reader(viewer)
        rendered: list[tuple[PageEntry, Sequence[bytes]]] = []
        for entry in entries:
            post = entry.post
            one = pieces.get(post)
            account = accounts.get(one.author) if one is not None else None
            if one is None or account is None:
                continue
            end = b"}"
            if marks is not None:
                end = marks[post].own if one.author == viewer else marks[post].others
            if filters:
                results = filter_results(filters, post, one.texts)
            if results is not None:
                unmarked = end.removesuffix(b"}").removesuffix(_UNFILTERED)
                end = unmarked + b',"filtered":%s}' % results
            status: tuple[bytes, ...] = (one.head, account, _NO_REBLOG, one.tail, end)
            if entry.retweeter is not None:
                if entry.retweeter not in accounts:
                    continue
                head = self._head(getattr(entry, "id", entry.post), entry.post, one.handle)
                wrapper = (head, accounts[entry.retweeter], b',"reblog":')
                status = (*wrapper, *status, one.tail, end)
            rendered.append((entry, status))
        return rendered

    def _head(self, id: int, post: int, handle: str) -> bytes:
        url = post_url(self._ports.base_url, handle, post).encode()
        uri = url if id == post else b"%s#retweet-%d" % (url, id)
        when = rfc3339(time_ms(id)).encode()
        template = b'{"id":"%d","uri":"%s","url":"%s","created_at":"%s","account":'
        return template % (id, uri, url, when)

    async def _fetch_marks(self, viewer: int, ids: Collection[int]) -> Mapping[int, ReaderMarks]:
        store, keys = self._ports.views.current_store, [(viewer, id) for id in ids]
        marks, kept, muted = await asyncio.gather(
            posts.read_marks(store("posts"), keys),
            read_kept(store("personal_records"), keys),
            self._muted_conversations.muted_among(viewer, ids),
        )
        return {key[1]: _MARK_ENDINGS[*marks[key], *kept[key], key[1] in muted] for key in keys}

    async def _fetch(self, ids: Collection[int]) -> Mapping[int, StatusPieces]:
        store = self._ports.views.current_store("posts")
        rows = await posts.read_posts(store, ids)
        parents = {row.reply_to for row in rows.values() if row.reply_to is not None}
        answered = await store.get_many(POSTS, {(post,) for post in parents})
        authors = {row.post: row.author for row in answered.values()}
        names = {n.lower() for row in rows.values() for n in _decode_names(row.mentions)}
        mentioned = await self._find_handles(names)
        handles = await self.accounts.handles({row.author for row in rows.values()})
        return {
            row.post: self._pieces(
                row, handles[row.author], mentioned, authors.get(row.reply_to or 0)
            )
            for row in rows.values()
            if row.author in handles
        }

    async def _find_handles(self, names: Collection[str]) -> dict[str, int]:
        store = self._ports.views.current_store("profiles")
        found = [await profiles.find_by_handle(store, name) for name in names]
        return {row.handle: row.user for row in found if row is not None}

    def _pieces(
        self,
        row: PostWithCounts,
        handle: str,
        users: Mapping[str, int],
        answered: int | None,
    ) -> StatusPieces:
        base_url = self._ports.base_url
        text = self._ports.open_text(row.text)
        media = shown_media(row.media, self._ports.open_text)
        spoiler_text = self._ports.open_text(row.spoiler_text)
        mentions = dict.fromkeys(name.lower() for name in _decode_names(row.mentions))
        tags = list(dict.fromkeys(map(fold_hashtag, _decode_names(row.hashtags))))
        rest: StatusBody = {
            "content": content_html(text, users, base_url),
            "visibility": "public",
            "sensitive": bool(row.sensitive or spoiler_text),
            "spoiler_text": spoiler_text,
            "language": row.language or None,
            "in_reply_to_id": str(row.reply_to) if row.reply_to is not None else None,
            "in_reply_to_account_id": str(answered) if answered is not None else None,
            "media_attachments": [media_attachment(one, base_url) for one in media],
            "mentions": [
                {
                    "id": str(users[name]),
                    "username": name,
                    "acct": name,
                    "url": profile_url(base_url, name),
                }
                for name in mentions
                if name in users
            ],
            "tags": [{"name": tag, "url": hashtag_url(base_url, tag)} for tag in tags],
            "emojis": [],
            "reblogs_count": row.retweets,
            "favourites_count": row.likes,
            "replies_count": row.comments,
            "edited_at": rfc3339(time_ms(row.edited)) if row.edited is not None else None,
            "application": None,
            "card": None,
            "poll": None,
            "quote": None,
        }
        tail = b"," + encode_json(rest)[1:-1]
        head = self._head(row.post, row.post, handle)
        return StatusPieces(
            row.author, handle, text, spoiler_text, row.reply_to, answered, media,
            frozenset(tags), head, tail,
        )  # fmt: skip
