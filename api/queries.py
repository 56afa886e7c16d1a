"""The questions of the contract: users, posts, who did what to them, timelines, trends."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from api import paging
from api.call import Answer, Call, json_answer
from api.commands import no_such_post, post_in, user_ref
from api.people import READS, People, no_such_user
from api.ports import Ports
from api.present import Posts, Single
from api.schemas import Trend, Use
from api.then import as_of, time_in
from api.times import rfc3339
from projections import entries, followers, posts, trends
from projections.entries import Entry
from projections.pages import Page
from projections.store import ReadStore

TRENDS: Final = 50
"""The most trends in an answer."""

LISTING: Final = ("timeline", "posts", "profiles")
"""The views that a page of posts is made from."""

Who = Callable[[ReadStore, int, Page], Awaitable[Sequence[tuple[int, int]]]]

_json = msgspec.json.Encoder().encode


class Queries:
    """Answers to questions; each method is a handler of `api.routes`."""

    def __init__(self, ports: Ports, shown: Posts, people: People) -> None:
        self._ports = ports
        self._shown = shown
        self._people = people

    async def me(self, call: Call) -> Answer:
        """Oneself, with the email address."""
        user = await self._people.oneself(call.actor)
        account = await self._ports.accounts.of(call.actor)
        user.email = account.email if account is not None else None
        return json_answer(_json(user))

    async def user(self, call: Call) -> Answer:
        """A user; with `at` as they were then, and nobody's own account."""
        then = time_in(call, self._ports)
        if then is not None:
            stores = (await as_of(self._ports, READS, then)).__getitem__
            user = await self._people.resolve(user_ref(call), stores)
            return json_answer(_json(await self._people.one(user, call.viewer, stores)))
        user = await self._people.resolve(user_ref(call))
        if user == call.viewer:
            return await self.me(call)
        return json_answer(_json(await self._people.one(user, call.viewer)))

    async def followers(self, call: Call) -> Answer:
        """Who follows a user."""
        return await self._who(call, "followers", followers.followers, await self._user(call))

    async def following(self, call: Call) -> Answer:
        """Whom a user follows."""
        return await self._who(call, "followers", followers.following, await self._user(call))

    async def likes(self, call: Call) -> Answer:
        """Who likes a post."""
        return await self._who(call, "posts", posts.likers, await self._post(call))

    async def retweets(self, call: Call) -> Answer:
        """Who retweeted a post."""
        return await self._who(call, "posts", posts.retweeters, await self._post(call))

    async def post(self, call: Call) -> Answer:
        """A post; none where its author and the reader block one another, whoever did."""
        post = post_in(call)
        shown = await self._shown.one(post, call.viewer)
        if shown is None or not await self._open(call, post):
            raise no_such_post(call.params[0])
        return json_answer(shown)

    async def comments(self, call: Call) -> Answer:
        """What answers a post."""
        post = await self._post(call)
        page = paging.page_of(call, paging.POSTS)
        ids = await posts.comments(self._ports.views.store("posts"), post, page)
        hidden = await self._hidden(call)
        listed = await self._shown.without([Single(id) for id in ids], hidden)
        body = await self._shown.page(listed, call.viewer)
        return json_answer(body, headers=paging.links(call, page, ids))

    async def _user(self, call: Call) -> int:
        """The user in the address, who is there."""
        user = await self._people.resolve(user_ref(call))
        if not await self._shown.present(user):
            raise no_such_user(user)
        return user

    async def _post(self, call: Call) -> int:
        """The post in the address, which exists."""
        post = post_in(call)
        if not await self._shown.exists(post) or not await self._open(call, post):
            raise no_such_post(call.params[0])
        return post

    async def _open(self, call: Call, post: int) -> bool:
        """Whether no block stands between the reader and the post's author, as in all lists."""
        blocked = await self._blocked(call)
        return not blocked or bool(await self._shown.without([Single(post)], blocked))

    async def _who(self, call: Call, view: str, ask: Who, about: int) -> Answer:
        page = paging.page_of(call, paging.USERS)
        rows = await ask(self._ports.views.store(view), about, page)
        body = await self._people.page([user for _, user in rows], call.viewer)
        return json_answer(body, headers=paging.links(call, page, [id for id, _ in rows]))

    async def home(self, call: Call) -> Answer:
        """The home timeline."""
        viewer = call.actor
        page = paging.page_of(call, paging.POSTS)
        home = self._ports.home
        listed = home.now(viewer, page)
        if listed is None:
            listed = await home.read(viewer, page)
        return await self._listing(call, page, listed)

    async def public(self, call: Call) -> Answer:
        """Everybody's posts."""
        page = paging.page_of(call, paging.POSTS)
        hidden = await self._hidden(call)
        return await self._listing(call, page, await entries.public(self._store(), page, hidden))

    async def hashtag(self, call: Call) -> Answer:
        """The posts with a hashtag."""
        page = paging.page_of(call, paging.POSTS)
        tag = call.params[0].removeprefix("#")
        hidden = await self._hidden(call)
        listed = await entries.hashtag(self._store(), tag, page, hidden)
        return await self._listing(call, page, listed)

    async def authored(self, call: Call) -> Answer:
        """A user's posts; none where one of the two blocks the other."""
        user = await self._user(call)
        page = paging.page_of(call, paging.POSTS)
        if user in await self._blocked(call):
            return await self._listing(call, page, [])
        return await self._listing(call, page, await entries.user(self._store(), user, page))

    def _store(self) -> ReadStore:
        return self._ports.views.store("timeline")

    async def _hidden(self, call: Call) -> frozenset[int]:
        """Whose posts the reader doesn't see: blocked, blocking and muted users."""
        if not call.viewer:
            return frozenset()
        return (await self._ports.home.context(call.viewer)).hidden

    async def _blocked(self, call: Call) -> frozenset[int]:
        if not call.viewer:
            return frozenset()
        return (await self._ports.home.context(call.viewer)).blocked

    async def _listing(self, call: Call, page: Page, listed: Sequence[Entry]) -> Answer:
        body = await self._shown.page(listed, call.viewer)
        ids = [entry.id for entry in listed]
        return json_answer(body, headers=paging.links(call, page, ids))

    async def trends(self, call: Call) -> Answer:
        """Hashtags used more than usual; with `at` as it was then."""
        limit = min(paging.positive(call.query, "limit", 10), TRENDS)
        then = time_in(call, self._ports)
        if then is None:
            store, at = self._ports.views.store("trending"), self._ports.clock_ms()
        else:
            store, at = (await as_of(self._ports, ("trending",), then))["trending"], then
        found = await trends.trends(store, at, limit)
        return json_answer(_json([_trend(trend) for trend in found]))


def _trend(trend: trends.Trend) -> Trend:
    history = [Use(rfc3339(use.since), use.uses, use.accounts) for use in trend.history]
    return Trend(trend.tag, trend.score, trend.uses, trend.accounts, history)
