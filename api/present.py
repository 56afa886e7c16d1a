"""Posts for readers, put together from pieces of bytes that were rendered once.

One like re-renders one piece, one new name re-renders one piece, and a page of twenty posts is a
join of eighty. The projector's journal says which pieces to forget.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from api.caches import Cache, PerViewer
from api.ports import Ports
from api.rendering import MARKS, UNMARKED, Pieces, pieces_of, pieces_of_new, user_ref
from commands.errors import NotFound
from commands.request import Outcome
from commands.sight import Sight
from commands.user import ACCOUNT
from events import streams
from events.codec import CODEC
from events.schema import Event, PostCreated
from projections import posts
from projections.gathering import Gathered
from projections.marks import marked
from projections.profiles import PROFILES
from projections.store import StoreUnavailable
from projections.touched import Kind

KEPT_POSTS: Final = 20_000
KEPT_AUTHORS: Final = 20_000
KEPT_VIEWERS: Final = 1_000
KEPT_MARKS: Final = 400
"""For each viewer."""

WAIT_SECONDS: Final = 2.0


class Shown(Protocol):
    """An entry of a page: a post, and through whom it came, if not by itself."""

    @property
    def post(self) -> int: ...

    @property
    def retweeter(self) -> int | None: ...


class Single(NamedTuple):
    """A post that stands for itself."""

    post: int
    retweeter: int | None = None


class Author(NamedTuple):
    """A rendered user in passing; deleted ones are kept so that they are not looked up again."""

    json: bytes
    deleted: bool


class Posts:
    """Renders posts for readers, from caches that follow the projector's journal."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._posts = Cache(KEPT_POSTS, Gathered(self._fetch_posts))
        self._authors = Cache(KEPT_AUTHORS, Gathered(self._fetch_authors))
        self._marks = PerViewer(KEPT_VIEWERS, KEPT_MARKS, self._fetch_marks)
        self._marked = Gathered(self._fetch_marked)

    def refresh(self) -> None:
        """Forget what the projector touched since the last call. Before every answer."""
        changes = self._ports.changes()
        if changes is None:
            self._posts.clear()
            self._authors.clear()
            self._marks.clear()
            self._ports.home.forget()
            return
        for kind, id in changes:
            if kind == Kind.POST:
                self._posts.drop(id)
            elif kind == Kind.MARKS:
                self._marks.drop(id)
            elif kind == Kind.PROFILE:
                self._authors.drop(id)
            self._ports.home.touch(kind, id)

    async def gone(self, user: int) -> bool:
        """Whether the account of a user was deleted."""
        author = (await self._authors.get((user,))).get(user)
        return author is not None and author.deleted

    async def present(self, user: int) -> bool:
        """Whether the views know a user who is still there."""
        author = (await self._authors.get((user,))).get(user)
        return author is not None and not author.deleted

    async def page(self, entries: Sequence[Shown], viewer: int) -> bytes:
        """The posts of a page as a JSON array; those deleted meanwhile are left out."""
        return b"[" + b",".join(await self._render(entries, viewer)) + b"]"

    async def exists(self, post: int) -> bool:
        """Whether there is such a post."""
        return await self.one(post, 0) is not None

    async def without(self, entries: Sequence[Shown], authors: Set[int]) -> list[Shown]:
        """The entries whose posts are by other authors."""
        pieces = await self._posts.get([entry.post for entry in entries])
        return [e for e in entries if e.post in pieces and pieces[e.post].author not in authors]

    async def one(self, post: int, viewer: int) -> bytes | None:
        """A post as JSON, or None where there is none."""
        rendered = await self._render((Single(post),), viewer)
        return rendered[0] if rendered else None

    async def made(self, outcome: Outcome) -> bytes:
        """A post as it was when it was made: the views may not have it yet."""
        head, author, tail = pieces_of_new(self._creation(outcome))
        cached: Author | None = None
        # It is done, and its client hears so, whether the views answer or not.
        with suppress(StoreUnavailable):
            cached = (await self._authors.get((author,))).get(author)
        if cached is not None:
            return head + cached.json + tail + MARKS[False, False]
        account = Sight(self._ports.log)(streams.user(author), ACCOUNT)
        return head + user_ref(author, account.handle, account.name) + tail + MARKS[False, False]

    def _creation(self, outcome: Outcome) -> PostCreated:
        """The event that made a post; from the log where a repeated request asks for it."""
        event: Event | None
        if outcome.writes:
            event = outcome.writes[0].events[0].event
        else:
            stored = self._ports.log.find(outcome.id)
            event = CODEC.event(stored.type, stored.schema, stored.data) if stored else None
        if not isinstance(event, PostCreated):
            raise NotFound("post-not-found", f"there is no post {outcome.id}; check the id")
        return event

    async def _render(self, entries: Sequence[Shown], viewer: int) -> list[bytes]:
        ids = [entry.post for entry in entries]
        pieces = await self._posts.get(ids)
        if len(pieces) < len(ids):
            pieces |= await self._late_posts([id for id in ids if id not in pieces])
        people = {piece.author for piece in pieces.values()}
        people.update(entry.retweeter for entry in entries if entry.retweeter is not None)
        authors = await self._authors.get(people)
        if len(authors) < len(people):
            authors |= await self._late_authors(people - authors.keys())
        marks = await self._marks.get(viewer, ids) if viewer else None
        rendered: list[bytes] = []
        for entry in entries:
            piece = pieces.get(entry.post)
            if piece is None or authors[piece.author].deleted:
                continue
            end = UNMARKED if marks is None else marks[entry.post]
            if entry.retweeter is not None:
                end = b',"retweeted_by":' + authors[entry.retweeter].json + end
            rendered.append(piece.head + authors[piece.author].json + piece.tail + end)
        return rendered

    async def _late_posts(self, ids: Collection[int]) -> Mapping[int, Pieces]:
        """Posts that the timelines show: either deleted, or the view of posts is behind."""
        views = self._ports.views
        position = views.position("timeline")
        if views.position("posts") >= position:
            return {}
        await self._ports.wait_for(("posts",), position, WAIT_SECONDS)
        return await self._posts.get(ids)

    async def _late_authors(self, users: Collection[int]) -> Mapping[int, Author]:
        """Users that one view knows and the view of profiles does not know yet: it is behind."""
        views = self._ports.views
        position = max(views.position("posts"), views.position("timeline"))
        await self._ports.wait_for(("profiles",), position, WAIT_SECONDS)
        found = await self._authors.get(users)
        if len(found) < len(users):
            raise StoreUnavailable("the view of profiles is behind the view of posts")
        return found

    async def _fetch_posts(self, ids: Collection[int]) -> Mapping[int, Pieces]:
        found = await posts.by_ids(self._ports.views.store("posts"), ids)
        return {id: pieces_of(post) for id, post in found.items()}

    async def _fetch_authors(self, ids: Collection[int]) -> Mapping[int, Author]:
        # The table itself, because it has the tombstones too.
        found = await self._ports.views.store("profiles").get_many(PROFILES, [(id,) for id in ids])
        return {
            row.user: Author(user_ref(row.user, row.handle, row.name), bool(row.deleted))
            for row in found.values()
        }

    async def _fetch_marks(self, viewer: int, ids: Collection[int]) -> Mapping[int, bytes]:
        found = await self._marked([(viewer, id) for id in ids])
        return {id: end for (_, id), end in found.items()}

    async def _fetch_marked(
        self, keys: Collection[tuple[int, int]]
    ) -> Mapping[tuple[int, int], bytes]:
        found = await marked(self._ports.views.store("posts"), keys)
        return {key: MARKS[marks] for key, marks in found.items()}
