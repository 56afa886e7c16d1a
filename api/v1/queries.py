"""The questions of the contract: users, posts, who did what to them, timelines, trends."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from api.http import paging
from api.http.request import HttpRequest, HttpResponse, json_response
from api.ports import Ports
from api.schemas import Trend, Use
from api.v1.commands import no_such_post, post_from_path, user_ref_from_path
from api.v1.time_travel import stores_at_time, time_from_query
from api.views.ids_and_times import rfc3339
from api.views.posts import PostViews, SinglePost
from api.views.users import USER_VIEWS, UserViews, no_such_user
from projections import followers, posts, timeline, trending
from projections.pages import PageRequest
from projections.store import ReadStore
from projections.timeline import TimelineEntry

MAX_TRENDS: Final = 50
"""The most trends in an answer."""

POST_PAGE_VIEWS: Final = ("timeline", "posts", "profiles")
"""The views that a page of posts is made from."""

UserQuery = Callable[[ReadStore, int, PageRequest], Awaitable[Sequence[tuple[int, int]]]]

_encode_json = msgspec.json.Encoder().encode


class QueryEndpoints:
    """Answers to questions; each method is a handler of `api.http.routing`."""

    def __init__(self, ports: Ports, shown: PostViews, people: UserViews) -> None:
        self._ports = ports
        self._post_views = shown
        self._user_views = people

    async def get_me(self, call: HttpRequest) -> HttpResponse:
        """Oneself, with the email address."""
        user = await self._user_views.get_own_user(call.actor)
        account = await self._ports.accounts.get(call.actor)
        user.email = account.email if account is not None else None
        return json_response(_encode_json(user))

    async def get_user(self, call: HttpRequest) -> HttpResponse:
        """A user; with `at` as they were then, and nobody's own account."""
        then = time_from_query(call, self._ports)
        if then is not None:
            stores = (await stores_at_time(self._ports, USER_VIEWS, then)).__getitem__
            user = await self._user_views.resolve(user_ref_from_path(call), stores)
            return json_response(
                _encode_json(await self._user_views.get_user(user, call.viewer, stores))
            )
        user = await self._user_views.resolve(user_ref_from_path(call))
        if user == call.viewer:
            return await self.get_me(call)
        return json_response(_encode_json(await self._user_views.get_user(user, call.viewer)))

    async def list_followers(self, call: HttpRequest) -> HttpResponse:
        """Who follows a user."""
        return await self._list_users(
            call, "followers", followers.list_followers, await self._user_from_path(call)
        )

    async def list_following(self, call: HttpRequest) -> HttpResponse:
        """Whom a user follows."""
        return await self._list_users(
            call, "followers", followers.list_followed, await self._user_from_path(call)
        )

    async def list_likers(self, call: HttpRequest) -> HttpResponse:
        """Who likes a post."""
        return await self._list_users(
            call, "posts", posts.list_likers, await self._post_from_path(call)
        )

    async def list_retweeters(self, call: HttpRequest) -> HttpResponse:
        """Who retweeted a post."""
        return await self._list_users(
            call, "posts", posts.list_retweeters, await self._post_from_path(call)
        )

    async def get_post(self, call: HttpRequest) -> HttpResponse:
        """A post; none where its author and the reader block one another, whoever did."""
        post = post_from_path(call)
        shown = await self._post_views.render_post(post, call.viewer)
        if shown is None or not await self._is_unblocked(call, post):
            raise no_such_post(call.params[0])
        return json_response(shown)

    async def list_comments(self, call: HttpRequest) -> HttpResponse:
        """What answers a post."""
        post = await self._post_from_path(call)
        page = paging.page_from_query(call, paging.MAX_POSTS)
        ids = await posts.list_comments(self._ports.views.current_store("posts"), post, page)
        hidden = await self._hidden_users(call)
        listed = await self._post_views.exclude_authors([SinglePost(id) for id in ids], hidden)
        body = await self._post_views.render_page(listed, call.viewer)
        return json_response(body, headers=paging.link_header(call, page, ids))

    async def _user_from_path(self, call: HttpRequest) -> int:
        """The user in the address, who is there."""
        user = await self._user_views.resolve(user_ref_from_path(call))
        if not await self._post_views.is_active(user):
            raise no_such_user(user)
        return user

    async def _post_from_path(self, call: HttpRequest) -> int:
        """The post in the address, which exists."""
        post = post_from_path(call)
        if not await self._post_views.post_exists(post) or not await self._is_unblocked(call, post):
            raise no_such_post(call.params[0])
        return post

    async def _is_unblocked(self, call: HttpRequest, post: int) -> bool:
        """Whether no block stands between the reader and the post's author, as in all lists."""
        blocked = await self._blocked_users(call)
        return not blocked or bool(
            await self._post_views.exclude_authors([SinglePost(post)], blocked)
        )

    async def _list_users(
        self, call: HttpRequest, view: str, ask: UserQuery, about: int
    ) -> HttpResponse:
        page = paging.page_from_query(call, paging.MAX_USERS)
        rows = await ask(self._ports.views.current_store(view), about, page)
        body = await self._user_views.render_page([user for _, user in rows], call.viewer)
        return json_response(body, headers=paging.link_header(call, page, [id for id, _ in rows]))

    async def home_timeline(self, call: HttpRequest) -> HttpResponse:
        """The home timeline."""
        viewer = call.actor
        page = paging.page_from_query(call, paging.MAX_POSTS)
        listed = await self._ports.home.read_page(viewer, page)
        return await self._posts_response(call, page, listed)

    async def public_timeline(self, call: HttpRequest) -> HttpResponse:
        """Everybody's posts."""
        page = paging.page_from_query(call, paging.MAX_POSTS)
        hidden = await self._hidden_users(call)
        return await self._posts_response(
            call,
            page,
            await timeline.read_public_timeline(self._timeline_store(), page, hidden),
        )

    async def hashtag_timeline(self, call: HttpRequest) -> HttpResponse:
        """The posts with a hashtag."""
        page = paging.page_from_query(call, paging.MAX_POSTS)
        tag = call.params[0].removeprefix("#")
        hidden = await self._hidden_users(call)
        listed = await timeline.read_hashtag_timeline(self._timeline_store(), tag, page, hidden)
        return await self._posts_response(call, page, listed)

    async def posts_by_user(self, call: HttpRequest) -> HttpResponse:
        """A user's posts; none where one of the two blocks the other."""
        user = await self._user_from_path(call)
        page = paging.page_from_query(call, paging.MAX_POSTS)
        if user in await self._blocked_users(call):
            return await self._posts_response(call, page, [])
        return await self._posts_response(
            call, page, await timeline.read_user_timeline(self._timeline_store(), user, page)
        )

    def _timeline_store(self) -> ReadStore:
        return self._ports.views.current_store("timeline")

    async def _hidden_users(self, call: HttpRequest) -> frozenset[int]:
        """Whose posts the reader doesn't see: blocked, blocking and muted users."""
        if not call.viewer:
            return frozenset()
        return (await self._ports.home.viewer_context(call.viewer)).hidden

    async def _blocked_users(self, call: HttpRequest) -> frozenset[int]:
        if not call.viewer:
            return frozenset()
        return (await self._ports.home.viewer_context(call.viewer)).blocked

    async def _posts_response(
        self, call: HttpRequest, page: PageRequest, listed: Sequence[TimelineEntry]
    ) -> HttpResponse:
        body = await self._post_views.render_page(listed, call.viewer)
        ids = [entry.id for entry in listed]
        return json_response(body, headers=paging.link_header(call, page, ids))

    async def list_trends(self, call: HttpRequest) -> HttpResponse:
        """Hashtags used more than usual; with `at` as it was then."""
        limit = min(paging.positive_int(call.query, "limit", 10), MAX_TRENDS)
        then = time_from_query(call, self._ports)
        if then is None:
            store, at = self._ports.views.current_store("trending"), self._ports.clock_ms()
        else:
            store, at = (await stores_at_time(self._ports, ("trending",), then))["trending"], then
        found = await trending.find_trends(store, at, limit)
        return json_response(_encode_json([_trend_json(trend) for trend in found]))


def _trend_json(trend: trending.TrendingTag) -> Trend:
    history = [Use(rfc3339(use.since), use.uses, use.accounts) for use in trend.history]
    return Trend(trend.tag, trend.score, trend.uses, trend.accounts, history)
