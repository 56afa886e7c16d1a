"""Pages of posts: the home, public, hashtag and user timelines."""

from collections.abc import Sequence

from api.accounts.access_tokens import USER_SCOPE
from api.http import paging
from api.http.messages import HttpRequest, HttpResponse
from api.http.routing import RouteSpec
from api.schemas import Post
from api.v1.resource import POST_PAGE_VIEWS, Resource
from projections import timeline
from projections.pages import PageRequest
from projections.store import ReadStore
from projections.timeline import TimelineEntry


class TimelinesResource(Resource):
    """The timelines."""

    def routes(self) -> list[RouteSpec]:
        return [
            RouteSpec(
                "GET", "/v1/timelines/home", self.home_timeline, "The reader's home timeline",
                list[Post], scope=USER_SCOPE, reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS,
            ),
            RouteSpec(
                "GET", "/v1/timelines/public", self.public_timeline, "The posts of all users",
                list[Post], reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS,
            ),
            RouteSpec(
                "GET", "/v1/hashtags/{tag}/posts", self.hashtag_timeline,
                "The posts with a hashtag", list[Post], reads=POST_PAGE_VIEWS,
                max_page=paging.MAX_POSTS,
            ),
            RouteSpec(
                "GET", "/v1/users/{ref}/posts", self.user_timeline, "A user's posts", list[Post],
                reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS, problem_statuses=(404,),
            ),
        ]  # fmt: skip

    async def home_timeline(self, request: HttpRequest) -> HttpResponse:
        viewer = request.actor
        page = paging.page_from_query(request, paging.MAX_POSTS)
        entries = await self._ports.home.read_page(viewer, page)
        return await self._entries_page(request, page, entries)

    async def public_timeline(self, request: HttpRequest) -> HttpResponse:
        page = paging.page_from_query(request, paging.MAX_POSTS)
        hidden = await self.hidden_users(request)
        entries = await timeline.read_public_timeline(self._store(), page, hidden)
        return await self._entries_page(request, page, entries)

    async def hashtag_timeline(self, request: HttpRequest) -> HttpResponse:
        page = paging.page_from_query(request, paging.MAX_POSTS)
        tag = request.params[0].removeprefix("#")
        hidden = await self.hidden_users(request)
        entries = await timeline.read_hashtag_timeline(self._store(), tag, page, hidden)
        return await self._entries_page(request, page, entries)

    async def user_timeline(self, request: HttpRequest) -> HttpResponse:
        """A user's posts; none where one of the two blocks the other."""
        user = await self.visible_user(request)
        page = paging.page_from_query(request, paging.MAX_POSTS)
        entries: Sequence[TimelineEntry] = ()
        if user not in await self.blocked_users(request):
            entries = await timeline.read_user_timeline(self._store(), user, page)
        return await self._entries_page(request, page, entries)

    def _store(self) -> ReadStore:
        return self._ports.views.current_store("timeline")

    async def _entries_page(
        self, request: HttpRequest, page: PageRequest, entries: Sequence[TimelineEntry]
    ) -> HttpResponse:
        return await self.posts_page(request, page, entries, [entry.id for entry in entries])
