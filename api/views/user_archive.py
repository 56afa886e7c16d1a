"""All that is kept of a user as files: JSON, images, and a text that says what is what.

Lists are read page by page while the archive is sent. What others wrote is in it as far as the user
can see it now.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from api.http.zip_stream import ZippedFile
from api.media.media_store import media_type
from api.schemas import encode_json
from api.state import ApiState
from api.views.notifications import notifications_page, render_notifications
from api.views.posts import SinglePost
from events import streams
from events.codec import EVENT_CODEC
from events.ids.snowflake import time_ms
from events.log import run_read
from events.schema import PostCreated, PostEdited
from events.sealed_text import map_texts, open_stored
from events.times import rfc3339
from projections import followers, lists, notifications, personal_records, posts, timeline_pages
from projections.filters import read_filters
from projections.notifications import NOTIFICATION_KINDS, NotificationPage
from projections.pages import PageRequest
from projections.profiles import pictures_of, read_profiles
from projections.store import ReadStore

ARCHIVED_VIEWS: Final = (
    "timeline", "posts", "profiles", "personal_records", "followers", "lists",
    "notifications", "filters",
)  # fmt: skip
"""The views that an archive is made from."""

_PAGE_ROWS: Final = 40
_CHUNK: Final = 1 << 16
"""Bytes of a file that are sent at once."""

_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

_README: Final = """\
The data of @{handle}, as it was at {made}.

account.json             the account: profile, email address, settings
sessions.json            where the account is signed in (no tokens)
webhooks.json            the addresses that are told what happens (no secrets)
posts.jsonl              posts and comments; `history` has all versions of an edited one
retweets.jsonl           what @{handle} retweeted
likes.jsonl              ... liked
bookmarks.jsonl          ... bookmarked
pins.jsonl               ... pinned to the profile
following.jsonl          whom @{handle} follows
followers.jsonl          who follows @{handle}
blocks.jsonl             whom @{handle} blocks
mutes.jsonl              ... mutes, with `until` where that ends by itself
muted-conversations.jsonl  of which threads @{handle} wants no notifications
notes.jsonl              what @{handle} noted about accounts
followed-hashtags.jsonl  the hashtags that @{handle} follows
lists.jsonl              lists of accounts, each with its members
filters.jsonl            words and posts that @{handle} wants covered or left out
notifications.jsonl      who mentioned, liked, retweeted and followed @{handle}
media/                   the images of the posts and the profile, called by their ids; the
                         posts have their alternative texts (`alt`)

Files called .jsonl have a JSON object a line, newest first, in UTF-8. Times are RFC 3339 in UTC;
`at` is when something was liked, followed and so on. Ids are texts. Posts and people that
@{handle} can't see any more are named by their id alone. Images that nothing shows yet are not
here.
"""

_MISSING: Final = "\nThe server has lost the files of these images:\n{ids}\n"


class _ListRow(Protocol):
    """A row of a list; `id` is the cursor of pages."""

    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=_ListRow)

ReadRows = Callable[[PageRequest], Awaitable[tuple[Sequence[R], int | None]]]
"""Reads a page of a list, newest first, and up to where, if that isn't at its last row."""

ListOfUser = Callable[[ReadStore, int, PageRequest], Awaitable[Sequence[Any]]]


class UserArchive:
    """The files of one user's archive.

    `still_allowed` is asked before each file: who signs out, or deletes the account, ends the
    archive, which would be a part of one otherwise.
    """

    def __init__(
        self, state: ApiState, user: int, still_allowed: Callable[[], Awaitable[bool]]
    ) -> None:
        self._state = state
        self._user = user
        self._still_allowed = still_allowed
        self._images: dict[str, None] = {}
        """The ids of those to put in, in order. The archive's own list of contents takes more."""

    async def files(
        self, handle: str, documents: Mapping[str, Any]
    ) -> AsyncGenerator[ZippedFile, None]:
        """The files, each to be read before the next; `documents` are JSON by their names.

        Raises `PermissionError` and what reads of views, the log and the media store raise.
        """
        for name, document in documents.items():
            yield ZippedFile(
                f"{name}.json", _whole(msgspec.json.format(encode_json(document)) + b"\n")
            )
        self._add_images(await self._pictures())
        for name, lines in self._lists().items():
            await self._check_allowed()
            yield ZippedFile(f"{name}.jsonl", lines)
        missing: list[str] = []
        for id in self._images:
            await self._check_allowed()
            content = await self._state.media.store.read(id)
            if content is None:
                missing.append(id)
                continue
            ending = media_type(content).removeprefix("image/").replace("jpeg", "jpg")
            yield ZippedFile(f"media/{id}.{ending}", _whole(content), compress=False)
        await self._check_allowed()
        made = rfc3339(self._state.ports.clock_ms())
        text = _README.format(handle=handle, made=made)
        text += _MISSING.format(ids="\n".join(missing)) if missing else ""
        yield ZippedFile("README.txt", _whole(text.encode()))

    def _lists(self) -> dict[str, AsyncGenerator[bytes, None]]:
        return {
            "posts": self._own_posts(),
            "retweets": self._posts_of(self._rows_of("timeline", timeline_pages.list_own_retweets)),
            "likes": self._posts_of(self._rows_of("posts", posts.list_liked)),
            "bookmarks": self._posts_of(
                self._rows_of("personal_records", personal_records.list_bookmarks)
            ),
            "pins": self._posts_of(self._rows_of("personal_records", personal_records.list_pins)),
            "following": self._users_of("followers", followers.list_followed),
            "followers": self._users_of("followers", followers.list_followers),
            "blocks": self._users_of("personal_records", personal_records.list_blocked),
            "mutes": self._users_of("personal_records", personal_records.list_muted),
            "muted-conversations": self._posts_of(
                self._rows_of("personal_records", personal_records.list_muted_conversations)
            ),
            "notes": self._notes(),
            "followed-hashtags": self._hashtags(),
            "lists": self._own_lists(),
            "filters": self._filters(),
            "notifications": self._notifications(),
        }

    async def _check_allowed(self) -> None:
        if not await self._still_allowed():
            raise PermissionError("the token of an archive was revoked while it was sent")

    # ---- lists ----

    async def _walk(self, read: ReadRows[R]) -> AsyncGenerator[Sequence[R], None]:
        request = PageRequest(_PAGE_ROWS)
        while True:
            rows, scanned_to = await read(request)
            # What came into the views meanwhile makes some of the caches old.
            self._state.post_views.apply_invalidations()
            yield rows
            if scanned_to is None:
                if len(rows) < request.limit:
                    return
                scanned_to = rows[-1].id
            request = request.beyond(scanned_to)
            await asyncio.sleep(0)  # a store in this process answers without letting others run

    def _rows_of(self, view: str, read_list: ListOfUser) -> ReadRows[Any]:
        async def read(request: PageRequest) -> tuple[Sequence[Any], None]:
            store = self._state.ports.views.current_store(view)
            return await read_list(store, self._user, request), None

        return read

    async def _own_posts(self) -> AsyncGenerator[bytes, None]:
        async for page in self._walk(self._rows_of("timeline", timeline_pages.list_own_posts)):
            ids = [entry.post for entry in page]
            rendered = await self._state.post_views.render_posts(ids, self._user)
            for id in ids:
                if id not in rendered:
                    continue  # deleted just now
                post = msgspec.json.decode(rendered[id])
                self._add_images(image["id"] for image in post["media"])
                if "edited_at" in post:
                    post["history"] = await self._versions(id)
                yield encode_json(post) + b"\n"

    async def _versions(self, post: int) -> list[dict[str, Any]]:
        log = self._state.ports.log
        versions: list[dict[str, Any]] = []
        for stored in await run_read(log, log.read_stream, streams.post_stream(post)):
            opened = open_stored(stored, self._state.ports.open_text)
            event = EVENT_CODEC.decode(opened.type, opened.schema, opened.data)
            if isinstance(event, PostCreated | PostEdited):
                version = {
                    "at": rfc3339(time_ms(stored.id)),
                    "text": event.text,
                    "sensitive": event.sensitive,
                    "spoiler_text": event.spoiler_text,
                    "language": event.language,
                }
                versions.append({name: value for name, value in version.items() if value})
        return versions

    async def _posts_of(self, read: ReadRows[Any]) -> AsyncGenerator[bytes, None]:
        """Rows are (cursor, post, ...)."""
        async for rows in self._walk(read):
            blocked = (await self._state.ports.home.viewer_context(self._user)).blocked
            visible = await self._state.post_views.exclude_authors(
                [SinglePost(row[1]) for row in rows], blocked
            )
            shown = await self._state.post_views.render_posts([one.post for one in visible], 0)
            for row in rows:
                head = encode_json({"id": str(row[1]), "at": rfc3339(time_ms(row.id))})
                if (post := shown.get(row[1])) is not None:
                    head = head[:-1] + b',"post":' + post + b"}"
                yield head + b"\n"

    async def _users_of(self, view: str, read_list: ListOfUser) -> AsyncGenerator[bytes, None]:
        """Rows are (cursor, user), those of mutes with an end."""
        async for page in self._walk(self._rows_of(view, read_list)):
            people = await self._people([(row[1], row.id) for row in page])
            for row, person in zip(page, people, strict=True):
                if until := getattr(row, "until", 0):
                    person["until"] = rfc3339(until)
                yield encode_json(person) + b"\n"

    async def _people(self, events: Sequence[tuple[int, int]]) -> list[dict[str, str]]:
        """Users with the events by which they are there."""
        store = self._state.ports.views.current_store("profiles")
        profiles = await read_profiles(store, [user for user, _ in events])
        people = []
        for user, event in events:
            person = {"id": str(user), "at": rfc3339(time_ms(event))}
            if (profile := profiles.get(user)) is not None:
                person["handle"] = profile.handle
                person["name"] = self._state.ports.open_text(profile.name)
            people.append(person)
        return people

    async def _own_lists(self) -> AsyncGenerator[bytes, None]:
        store = self._state.ports.views.current_store("lists")
        for row in reversed(await lists.read_lists(store, self._user)):
            members = await lists.read_members(store, self._user, row.list)
            line = {
                "id": str(row.list),
                "at": rfc3339(time_ms(row.list)),
                "title": self._state.ports.open_text(row.title),
                "replies_policy": row.replies_policy,
                "members": await self._people([(one.member, one.id) for one in members]),
            }
            yield encode_json(line) + b"\n"

    async def _hashtags(self) -> AsyncGenerator[bytes, None]:
        read = self._rows_of("personal_records", personal_records.list_followed_hashtags)
        async for page in self._walk(read):
            for row in page:
                yield encode_json({"tag": row.tag, "at": rfc3339(time_ms(row.id))}) + b"\n"

    async def _notes(self) -> AsyncGenerator[bytes, None]:
        async for page in self._walk(
            self._rows_of("personal_records", personal_records.list_notes)
        ):
            people = await self._people([(row.subject, row.id) for row in page])
            for row, person in zip(page, people, strict=True):
                person["note"] = self._state.ports.open_text(row.note)
                yield encode_json(person) + b"\n"

    async def _filters(self) -> AsyncGenerator[bytes, None]:
        store = self._state.ports.views.current_store("filters")
        for stored in reversed(await read_filters(store, self._user)):
            one = map_texts(stored, self._state.ports.open_text)
            line = {
                "id": str(one.filter),
                "title": one.title,
                "contexts": one.contexts,
                "action": one.action,
                "keywords": [{"text": w.text, "whole_word": w.whole_word} for w in one.keywords],
                "posts": [post.post for post in one.posts],
            }
            if one.expires_at:
                line["expires_at"] = rfc3339(one.expires_at)
            yield encode_json(line) + b"\n"

    async def _notifications(self) -> AsyncGenerator[bytes, None]:
        state, user = self._state, self._user
        store = state.ports.views.current_store("notifications")
        read_through = (await notifications.read_marks_of(store, user)).read

        async def read(request: PageRequest) -> NotificationPage:
            return await notifications_page(state, user, request, NOTIFICATION_KINDS)

        async for page in self._walk(read):
            rendered = await render_notifications(state, user, page, read_through)
            for one in _decode_raw(rendered):
                yield bytes(one) + b"\n"

    # ---- images ----

    async def _pictures(self) -> list[str]:
        store = self._state.ports.views.current_store("profiles")
        profile = (await read_profiles(store, (self._user,))).get(self._user)
        return [id for id in pictures_of(profile) if id] if profile is not None else []

    def _add_images(self, ids: Iterable[str]) -> None:
        self._images.update(dict.fromkeys(ids))


async def _whole(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
