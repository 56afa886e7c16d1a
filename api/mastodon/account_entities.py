"""Accounts as Mastodon's entity `Account`: pieces of JSON that are rendered once.

What an account says of itself is kept until its profile changes. The counts and the day of the last
post change all the time. They go in at each reading; in pages of statuses, where an account stands
at each post, they may be `COUNTS_SECONDS` old.
"""

from collections.abc import Collection, Mapping
from time import monotonic
from typing import Annotated, Final, NamedTuple, TypedDict

from msgspec import Meta

from api.mastodon.content import content_html, line_html, profile_url
from api.mastodon.entities import Count, EmptyList, Html, Id, Time, Url, about
from api.mastodon.pictures import AVATAR_PATH, HEADER_PATH
from api.ports import Ports
from api.schemas import encode_json
from api.views.cache import IdCache
from api.views.media import image_url
from events.ids.snowflake import time_ms
from events.times import rfc3339
from projections import followers, posts, timeline_pages
from projections.batch_loader import BatchLoader
from projections.profiles import (
    PROFILES,
    ProfileDetails,
    ProfileRow,
    details_of,
    is_suspended,
    pictures_of,
)

CACHED_ACCOUNTS: Final = 20_000

COUNTS_SECONDS: Final = 5.0
"""How old the counts beside a post may be."""

_COUNTS: Final = (
    b',"followers_count":%d,"following_count":%d,"statuses_count":%d,"last_status_at":%s}'
)


class FieldEntity(TypedDict):
    """A pair of name and value in a profile."""

    name: str
    value: Annotated[str, about("HTML; as written in the `source` of one's own account")]
    verified_at: Annotated[None, about("Fields are not verified here")]


class AccountFields(TypedDict):
    """What an account says of itself."""

    id: Id
    username: str
    acct: Annotated[str, about("The same as `username`: all accounts are of this server")]
    url: Annotated[Url, about("Its page")]
    uri: Annotated[Url, about("The same as `url`")]
    display_name: Annotated[str, about("The `username` where there is no name")]
    note: Annotated[Html, about("What the account says of itself, in HTML")]
    avatar: Annotated[Url, about("An image of the server's where the account has none")]
    avatar_static: Annotated[Url, about("Its thumbnail")]
    header: Annotated[Url, about("An image of the server's where the account has none")]
    header_static: Annotated[Url, about("The same as `header`")]
    locked: Annotated[bool, about("False: everyone may follow everyone")]
    bot: Annotated[bool, about("Whether a program writes here, as it says itself")]
    group: Annotated[bool, about("Always false")]
    limited: Annotated[bool, about("Always false")]
    discoverable: Annotated[bool, about("Always true")]
    indexable: Annotated[bool, about("Whether search finds its posts: always true")]
    noindex: Annotated[bool, about("Always false")]
    hide_collections: Annotated[bool, about("Always false: all see whom it follows")]
    moved: Annotated[None, about("There is no other server to move to")]
    created_at: Time
    emojis: EmptyList
    fields: Annotated[list[FieldEntity], about("Four at most")]


class AccountEntity(AccountFields):
    """A user's account. In pages of statuses, counts may be five seconds old."""

    followers_count: Count
    following_count: Count
    statuses_count: Annotated[Count, about("Posts, answers and retweets among them")]
    last_status_at: Annotated[
        Annotated[str, Meta(extra_json_schema={"format": "date"})] | None,
        about("The day of the newest post; null before the first one"),
    ]


class SourceEntity(TypedDict):
    """One's own account as it is edited."""

    note: Annotated[str, about("As written")]
    fields: list[FieldEntity]
    privacy: Annotated[str, about("How new statuses are seen: `public`")]
    sensitive: Annotated[bool, about("Always false: a status says it of itself")]
    language: Annotated[None, about("Not kept: a status says it of itself")]
    follow_requests_count: Annotated[int, about("Always 0")]
    indexable: bool
    discoverable: bool
    hide_collections: bool


class RoleEntity(TypedDict):
    """What a user may do beside the ordinary: nothing by this API."""

    id: str
    name: str
    permissions: Annotated[str, about("A bit mask as a decimal number: `0`")]
    color: str
    highlighted: bool


class CredentialAccountEntity(AccountEntity):
    """One's own account, with what its owner alone sees."""

    source: SourceEntity
    role: RoleEntity


class AccountPieces(NamedTuple):
    """An account as JSON without its counts and the closing brace."""

    handle: str
    head: bytes
    bio: str
    fields: tuple[tuple[str, str], ...]
    deleted: bool


class AccountEntities:
    """Renders accounts."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._last_days: dict[int, tuple[int, str]] = {}
        """By user: how many posts they had, and the day of the newest one."""
        self._cache = IdCache(CACHED_ACCOUNTS, BatchLoader(self._fetch))
        self._recent: dict[int, tuple[bytes, float]] = {}
        """By user: the account as JSON, and until when its counts may be shown."""

    def invalidate(self, user: int) -> None:
        """Drop what a user's profile says."""
        self._cache.invalidate(user)
        self._recent.pop(user, None)

    def clear(self) -> None:
        """Drop everything."""
        self._cache.clear()
        self._recent.clear()

    async def handles(self, users: Collection[int]) -> dict[int, str]:
        """The handles of those of the users that have an account."""
        pieces = await self._cache.get(users)
        return {user: one.handle for user, one in pieces.items() if not one.deleted}

    async def own_texts(self, user: int) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What an account says of itself, and its fields, as written."""
        pieces = (await self._cache.get((user,)))[user]
        return pieces.bio, pieces.fields

    async def render(self, users: Collection[int]) -> dict[int, bytes]:
        """Those of the accounts that there are, as JSON."""
        pieces = await self._cache.get(users)
        there = [user for user, one in pieces.items() if not one.deleted]
        store = self._ports.views.current_store
        follows = await followers.count_follows(store("followers"), there)
        authored = await posts.count_authored_posts(store("posts"), there)
        days = await self._read_last_days(authored)
        rendered = {}
        for user in there:
            their_followers, following = follows.get(user, (0, 0))
            rendered[user] = pieces[user].head + _COUNTS % (
                max(0, their_followers),
                max(0, following),
                max(0, authored.get(user, 0)),
                b'"%s"' % days[user].encode() if user in days else b"null",
            )
        return rendered

    async def render_recent(self, users: Collection[int]) -> dict[int, bytes]:
        """Those of the accounts that there are, with counts of the last `COUNTS_SECONDS`."""
        now = monotonic()
        found, missing = {}, []
        for user in users:
            json, until = self._recent.get(user, (b"", now))
            if until > now:
                found[user] = json
            else:
                missing.append(user)
        if missing:
            rendered = await self.render(missing)
            if len(self._recent) + len(rendered) > CACHED_ACCOUNTS:
                self._recent.clear()
            until = now + COUNTS_SECONDS
            self._recent.update({user: (json, until) for user, json in rendered.items()})
            found.update(rendered)
        return found

    async def _read_last_days(self, authored: Mapping[int, int]) -> Mapping[int, str]:
        """The day of the newest post of each user who has one.

        It is read anew when the number of a user's posts has changed.
        """
        known = self._last_days
        unknown = [
            user
            for user, count in authored.items()
            if count > 0 and known.get(user, (0, ""))[0] != count
        ]
        if unknown:
            if len(known) + len(unknown) > CACHED_ACCOUNTS:
                known.clear()
                unknown = [user for user, count in authored.items() if count > 0]
            store = self._ports.views.current_store("timeline")
            newest = await timeline_pages.find_newest_posts(store, unknown)
            for user, post in newest.items():
                known[user] = (authored[user], rfc3339(time_ms(post))[:10])
        return {
            user: known[user][1] for user, count in authored.items() if count > 0 and user in known
        }

    async def render_list(self, users: Collection[int]) -> bytes:
        """Those of the accounts that there are, as an array in the order given."""
        rendered = await self.render(users)
        return b"[" + b",".join(rendered[user] for user in users if user in rendered) + b"]"

    async def _fetch(self, users: Collection[int]) -> Mapping[int, AccountPieces]:
        store = self._ports.views.current_store("profiles")
        rows = await store.get_many(PROFILES, {(user,) for user in users})
        return {row.user: self._pieces(row) for row in rows.values()}

    def _pieces(self, row: ProfileRow) -> AccountPieces:
        if row.deleted or is_suspended(row):
            return AccountPieces(row.handle, b"", "", (), deleted=True)
        bio = self._ports.open_text(row.bio)
        details = details_of(row, self._ports.open_text)
        static = self._static(row, self._ports.open_text(row.name), bio, details)
        head = encode_json(static)[:-1]
        return AccountPieces(row.handle, head, bio, details.fields, deleted=False)

    def _static(
        self, row: ProfileRow, name: str, bio: str, details: ProfileDetails
    ) -> AccountFields:
        base_url = self._ports.base_url
        avatar_id, header_id = pictures_of(row)
        avatar = image_url(avatar_id, base_url) if avatar_id else base_url + AVATAR_PATH
        header = image_url(header_id, base_url) if header_id else base_url + HEADER_PATH
        url = profile_url(base_url, row.handle)
        return {
            "id": str(row.user),
            "username": row.handle,
            "acct": row.handle,
            "url": url,
            "uri": url,
            "display_name": name or row.handle,
            "note": content_html(bio, (), base_url),
            "avatar": avatar,
            "avatar_static": f"{avatar}/thumbnail" if avatar_id else avatar,
            "header": header,
            "header_static": header,
            "locked": False,
            "bot": details.bot,
            "group": False,
            "limited": False,
            "discoverable": True,
            "indexable": True,
            "noindex": False,
            "hide_collections": False,
            "moved": None,
            "created_at": rfc3339(time_ms(row.user)),
            "emojis": [],
            "fields": [
                {"name": field, "value": line_html(value, (), base_url), "verified_at": None}
                for field, value in details.fields
            ],
        }


def credential_account(account: bytes, bio: str, fields: Collection[tuple[str, str]]) -> bytes:
    """`CredentialAccount`: an account with what only its owner sees."""
    source: SourceEntity = {
        "note": bio,
        "fields": [{"name": n, "value": value, "verified_at": None} for n, value in fields],
        "privacy": "public",
        "sensitive": False,
        "language": None,
        "follow_requests_count": 0,
        "indexable": True,
        "discoverable": True,
        "hide_collections": False,
    }
    role: RoleEntity = {
        "id": "-99", "name": "", "permissions": "0", "color": "", "highlighted": False,
    }  # fmt: skip
    return account[:-1] + b',"source":%s,"role":%s}' % (encode_json(source), encode_json(role))
