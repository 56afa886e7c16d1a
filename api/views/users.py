"""Users as JSON, put together from the views of profiles, posts and followers."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from pydantic import TypeAdapter

from api.accounts.errors import AccountUnknown
from api.ports import Ports
from api.schemas import ProfileField, User
from api.views.media import image_url
from commands.errors import NotFound
from commands.rules import user_not_found
from commands.stream_reader import read_state
from commands.user import USER_STATE
from events import streams
from events.ids.snowflake import time_ms
from events.times import optional_rfc3339, rfc3339
from projections import followers, personal_records, posts, profiles
from projections.home.viewer import UserRelations, read_relations
from projections.store import ReadStore

USER_VIEWS: Final = ("profiles", "posts", "followers")
"""The views that a user's JSON is made from."""

_USERS: Final = TypeAdapter(list[User])

StoreOfProjection = Callable[[str], ReadStore]
"""Gives the store of a projection: the current one, or one of a point in time."""


class UserViews:
    """Renders users for readers."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def resolve(self, ref: str, stores: StoreOfProjection | None = None) -> int:
        """The user that an id or `@handle` means. Raises `NotFound`."""
        if ref.startswith("@"):
            store = stores or self._ports.views.current_store
            row = await profiles.find_by_handle(store("profiles"), ref[1:].lower())
            if row is None:
                raise NotFound("user-not-found", f"no user is called {ref}; check the handle")
            return row.user
        return int(ref)

    async def get_user(
        self, user: int, viewer: int, stores: StoreOfProjection | None = None
    ) -> User:
        """A user. Raises `NotFound`."""
        found = await self.get_users((user,), viewer, stores)
        if not found:
            raise user_not_found(user)
        return found[0]

    async def note_about(self, viewer: int, user: int) -> str | None:
        """What a viewer notes about a user."""
        store = self._ports.views.current_store("personal_records")
        note = (await personal_records.read_notes(store, viewer, (user,))).get(user)
        return None if note is None else self._ports.open_text(note)

    async def get_own_user(self, user: int) -> User:
        """A signed-in user, from the log where the views don't have the account yet.

        Raises `AccountUnknown`.
        """
        found = await self.get_users((user,), user)
        return found[0] if found else await self.user_from_log(user)

    async def user_from_log(self, user: int) -> User:
        """A user as the log has them, before anything was counted. Raises `AccountUnknown`."""
        account = await read_state(self._ports.log, streams.user_stream(user), USER_STATE)
        if not account.registered or account.deleted:
            raise AccountUnknown(
                f"there is no account {user} (any more); register or sign in again"
            )
        return User(
            id=str(user),
            handle=account.handle,
            name=self._ports.open_text(account.name),
            bio=self._ports.open_text(account.bio),
            followers=0,
            following=0,
            posts=0,
            created_at=rfc3339(time_ms(user)),
            avatar=self._url(account.avatar),
            header=self._url(account.header),
            fields=self._fields(
                (self._ports.open_text(name), self._ports.open_text(value))
                for name, value in account.fields
            ),
            bot=account.bot or None,
        )

    def _fields(self, pairs: Iterable[tuple[str, str]]) -> list[ProfileField] | None:
        return [ProfileField(name=name, value=value) for name, value in pairs] or None

    def _url(self, picture: str) -> str | None:
        return image_url(picture, self._ports.base_url) if picture else None

    async def render_page(self, users: Iterable[int], viewer: int) -> bytes:
        """Users as a JSON array, in the order given; deleted ones are left out."""
        return _USERS.dump_json(await self.get_users(tuple(users), viewer), exclude_none=True)

    async def get_users(
        self, users: Collection[int], viewer: int, stores: StoreOfProjection | None = None
    ) -> list[User]:
        """Users in the order given, without deleted ones; current, unless stores are given."""
        store = stores or self._ports.views.current_store
        rows = await profiles.read_profiles(store("profiles"), users)
        follows = store("followers")
        counts = await followers.count_follows(follows, users)
        authored = await posts.count_authored_posts(store("posts"), users)
        followed = await followers.followed_among(follows, viewer, users) if viewer else set()
        relations: dict[int, UserRelations] = {}
        if viewer and stores is None:
            relations = await read_relations(
                store("timeline"), viewer, users, self._ports.clock_ms()
            )
        found: list[User] = []
        for user in users:
            row = rows.get(user)
            if row is None:
                continue
            avatar, header = profiles.pictures_of(row)
            details = profiles.details_of(row, self._ports.open_text)
            apart = relations.get(user) if user != viewer else None
            their_followers, following = counts.get(user, (0, 0))
            found.append(
                User(
                    id=str(user),
                    handle=row.handle,
                    name=self._ports.open_text(row.name),
                    bio=self._ports.open_text(row.bio),
                    followers=their_followers,
                    following=following,
                    posts=authored.get(user, 0),
                    created_at=rfc3339(time_ms(user)),
                    avatar=self._url(avatar),
                    header=self._url(header),
                    fields=self._fields(details.fields),
                    bot=details.bot or None,
                    followed=user in followed if viewer and viewer != user else None,
                    blocking=apart.blocking if apart else None,
                    blocked_by=apart.blocked_by if apart else None,
                    muting=apart.muting if apart else None,
                    muted_until=optional_rfc3339(apart.mute_ends_ms) if apart else None,
                )
            )
        return found
