"""`/v1/posts`: posts, comments on them, and who liked and retweeted them."""

from api.accounts.access_tokens import USER_SCOPE
from api.http import paging
from api.http.messages import HttpRequest, HttpResponse, json_response
from api.http.routing import RouteSpec
from api.schemas import Done, EditedPost, NewComment, NewPost, Post, User
from api.v1.resource import (
    POST_PAGE_VIEWS,
    Resource,
    done_response,
    no_such_post,
    position_header,
    post_from_path,
)
from api.views.posts import SinglePost
from api.views.users import USER_VIEWS
from commands.decider import Command
from commands.post import Comment, CreatePost, DeletePost, EditPost
from projections import posts


class PostsResource(Resource):
    """Posts and comments."""

    def routes(self) -> list[RouteSpec]:
        post = "/v1/posts/{id}"
        return [
            RouteSpec(
                "POST", "/v1/posts", self.create_post, "Post", Post, NewPost, creates=True,
                scope=USER_SCOPE, command=True, problem_statuses=(403, 404),
            ),
            RouteSpec(
                "GET", post, self.get_post, "A post", Post, reads=POST_PAGE_VIEWS,
                problem_statuses=(404,),
            ),
            RouteSpec(
                "PATCH", post, self.edit_post, "Edit a post of one's own", Done, EditedPost,
                scope=USER_SCOPE, command=True, problem_statuses=(403, 404),
            ),
            RouteSpec(
                "DELETE", post, self.delete_post, "Delete a post of one's own", Done,
                scope=USER_SCOPE, command=True, problem_statuses=(403, 404),
            ),
            RouteSpec(
                "GET", f"{post}/comments", self.list_comments, "The comments on a post", list[Post],
                reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS, problem_statuses=(404,),
            ),
            RouteSpec(
                "POST", f"{post}/comments", self.create_comment, "Comment on a post", Post,
                NewComment, creates=True, scope=USER_SCOPE, command=True,
                problem_statuses=(403, 404),
            ),
            RouteSpec(
                "GET", f"{post}/likes", self.list_likers, "Who likes a post", list[User],
                reads=(*USER_VIEWS, "timeline"), max_page=paging.MAX_USERS, problem_statuses=(404,),
            ),
            RouteSpec(
                "GET", f"{post}/retweets", self.list_retweeters, "Who retweeted a post", list[User],
                reads=(*USER_VIEWS, "timeline"), max_page=paging.MAX_USERS, problem_statuses=(404,),
            ),
        ]  # fmt: skip

    async def create_post(self, request: HttpRequest) -> HttpResponse:
        new = await request.read_json(NewPost)
        reply_to = int(new.reply_to) if new.reply_to is not None else None
        return await self._create(request, CreatePost(new.text, reply_to, tuple(new.media)))

    async def create_comment(self, request: HttpRequest) -> HttpResponse:
        new = await request.read_json(NewComment)
        comment = Comment(post_from_path(request), new.text, tuple(new.media))
        return await self._create(request, comment)

    async def _create(self, request: HttpRequest, command: Command) -> HttpResponse:
        outcome = await self.run_command(request, command)
        created = await self._post_views.render_created(outcome)
        return json_response(created, 201, position_header(outcome))

    async def edit_post(self, request: HttpRequest) -> HttpResponse:
        edited = await request.read_json(EditedPost)
        outcome = await self.run_command(request, EditPost(post_from_path(request), edited.text))
        return done_response(Done(str(outcome.id)), outcome)

    async def delete_post(self, request: HttpRequest) -> HttpResponse:
        outcome = await self.run_command(request, DeletePost(post_from_path(request)))
        return done_response(Done(str(outcome.id), deleted=True), outcome)

    async def get_post(self, request: HttpRequest) -> HttpResponse:
        post = post_from_path(request)
        rendered = await self._post_views.render_post(post, request.viewer)
        if rendered is None:
            raise no_such_post(request.params[0])
        await self.require_unblocked(request, post)
        return json_response(rendered)

    async def list_comments(self, request: HttpRequest) -> HttpResponse:
        post = await self.visible_post(request)
        page = paging.page_from_query(request, paging.MAX_POSTS)
        ids = await posts.list_comments(self._ports.views.current_store("posts"), post, page)
        hidden = await self.hidden_users(request)
        visible = await self._post_views.exclude_authors([SinglePost(id) for id in ids], hidden)
        return await self.posts_page(request, page, visible, ids)

    async def list_likers(self, request: HttpRequest) -> HttpResponse:
        post = await self.visible_post(request)
        return await self.users_page(request, "posts", posts.list_likers, post)

    async def list_retweeters(self, request: HttpRequest) -> HttpResponse:
        post = await self.visible_post(request)
        return await self.users_page(request, "posts", posts.list_retweeters, post)
