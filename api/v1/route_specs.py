"""Every operation of the API in one table, in the order of the documentation."""

from api.http import paging
from api.http.routing import RouteSpec
from api.http.tokens import ANALYST_SCOPE, IMPORT_SCOPE, OPERATOR_SCOPE, USER_SCOPE
from api.schemas import (
    Done,
    EditedPost,
    Health,
    NewComment,
    NewPost,
    NewUser,
    Post,
    ProfilePatch,
    Projected,
    Registered,
    SignIn,
    Token,
    Trend,
    User,
)
from api.v1.admin import ProjectionEndpoints
from api.v1.bulk import BulkEndpoint
from api.v1.commands import CommandEndpoints
from api.v1.events import EventsEndpoint
from api.v1.health import HealthEndpoints
from api.v1.queries import POST_PAGE_VIEWS, QueryEndpoints
from api.views.users import USER_VIEWS as USERS

POSTS = ("posts", "profiles")


def _account_routes(c: CommandEndpoints, q: QueryEndpoints) -> list[RouteSpec]:
    me, user = "/v1/users/me", "/v1/users/{ref}"
    return [
        RouteSpec(
            "POST", "/v1/users", c.register_user, "Register", Registered, NewUser, creates=True,
            command=True, problem_statuses=(409,),
        ),
        RouteSpec(
            "POST", "/v1/sessions", c.sign_in, "Sign in", Token, SignIn, creates=True,
            problem_statuses=(401, 429, 503),
        ),
        RouteSpec("GET", me, q.get_me, "Oneself", User, scope=USER_SCOPE, reads=USERS),
        RouteSpec(
            "PATCH", me, c.change_profile, "Change oneself", Done, ProfilePatch, scope=USER_SCOPE,
            command=True, problem_statuses=(403, 409, 429),
        ),
        RouteSpec("DELETE", me, c.delete_account, "Leave", Done, scope=USER_SCOPE, command=True),
        RouteSpec(
            "GET", user, q.get_user, "A user", User, query_names=("at",), reads=USERS,
            problem_statuses=(404, 422, 503),
        ),
        RouteSpec(
            "GET", f"{user}/posts", q.posts_by_user, "A user's posts", list[Post],
            reads=POST_PAGE_VIEWS,
            max_page=paging.MAX_POSTS, problem_statuses=(404,),
        ),
        RouteSpec(
            "GET", f"{user}/followers", q.list_followers, "Who follows a user", list[User],
            reads=USERS, max_page=paging.MAX_USERS, problem_statuses=(404,),
        ),
        RouteSpec(
            "GET", f"{user}/following", q.list_following, "Whom a user follows", list[User],
            reads=USERS, max_page=paging.MAX_USERS, problem_statuses=(404,),
        ),
    ]  # fmt: skip


def _post_routes(c: CommandEndpoints, q: QueryEndpoints) -> list[RouteSpec]:
    post = "/v1/posts/{id}"
    return [
        RouteSpec(
            "POST", "/v1/posts", c.create_post, "Post", Post, NewPost, creates=True,
            scope=USER_SCOPE,
            command=True, problem_statuses=(403, 404),
        ),
        RouteSpec("GET", post, q.get_post, "A post", Post, reads=POST_PAGE_VIEWS,
        problem_statuses=(404,)),
        RouteSpec(
            "PATCH", post, c.edit_post, "Edit a post of one's own", Done, EditedPost,
            scope=USER_SCOPE,
            command=True, problem_statuses=(403, 404),
        ),
        RouteSpec(
            "DELETE", post, c.delete_post, "Delete a post of one's own", Done, scope=USER_SCOPE,
            command=True, problem_statuses=(403, 404),
        ),
        RouteSpec(
            "GET", f"{post}/comments", q.list_comments, "What answers a post", list[Post],
            reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS, problem_statuses=(404,),
        ),
        RouteSpec(
            "POST", f"{post}/comments", c.create_comment, "Answer a post", Post, NewComment,
            creates=True,
            scope=USER_SCOPE, command=True, problem_statuses=(403, 404),
        ),
        RouteSpec(
            "GET", f"{post}/likes", q.list_likers, "Who likes a post", list[User],
            reads=(*USERS, "timeline"), max_page=paging.MAX_USERS, problem_statuses=(404,),
        ),
        RouteSpec(
            "GET", f"{post}/retweets", q.list_retweeters, "Who retweeted a post", list[User],
            reads=(*USERS, "timeline"), max_page=paging.MAX_USERS, problem_statuses=(404,),
        ),
    ]  # fmt: skip


def _timeline_routes(q: QueryEndpoints) -> list[RouteSpec]:
    return [
        RouteSpec(
            "GET", "/v1/timelines/home", q.home_timeline, "The reader's home timeline", list[Post],
            scope=USER_SCOPE, reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS,
        ),
        RouteSpec(
            "GET", "/v1/timelines/public", q.public_timeline, "Everybody's posts", list[Post],
            reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS,
        ),
        RouteSpec(
            "GET", "/v1/hashtags/{tag}/posts", q.hashtag_timeline, "The posts with a hashtag",
            list[Post], reads=POST_PAGE_VIEWS, max_page=paging.MAX_POSTS,
        ),
        RouteSpec(
            "GET", "/v1/trends", q.list_trends, "Hashtags used more than usual", list[Trend],
            query_names=("limit", "at"), reads=("trending",), problem_statuses=(422, 503),
        ),
    ]  # fmt: skip


def _projection_routes(o: ProjectionEndpoints) -> list[RouteSpec]:
    one = "/v1/projections/{name}"
    return [
        RouteSpec(
            "GET", "/v1/projections", o.list_projections, "Where each projection stands",
            list[Projected],
            scope=OPERATOR_SCOPE, problem_statuses=(503,),
        ),
        RouteSpec(
            "POST", f"{one}/rebuild", o.start_rebuild,
            "Make a view anew from the log while the old one serves; tells how far it is",
            None, scope=OPERATOR_SCOPE, query_names=("verify",), problem_statuses=(404, 409, 422,
            503), media_type=SSE,
        ),
        RouteSpec(
            "GET", f"{one}/rebuild", o.follow_rebuild, "How far a rebuild is, until it ends", None,
            scope=OPERATOR_SCOPE, problem_statuses=(404, 503), media_type=SSE,
        ),
        RouteSpec(
            "DELETE", f"{one}/rebuild", o.cancel_rebuild, "Take a rebuild back", Projected,
            scope=OPERATOR_SCOPE, problem_statuses=(404, 409, 503),
        ),
        RouteSpec(
            "POST", f"{one}/pause", o.pause, "Keep a view as it is", Projected,
            scope=OPERATOR_SCOPE,
            problem_statuses=(404, 409, 503),
        ),
        RouteSpec(
            "POST", f"{one}/resume", o.resume, "Go on with a view", Projected, scope=OPERATOR_SCOPE,
            problem_statuses=(404, 409, 503),
        ),
    ]  # fmt: skip


def _system_routes(
    batches: BulkEndpoint, events: EventsEndpoint, checks: HealthEndpoints
) -> list[RouteSpec]:
    return [
        RouteSpec(
            "POST", "/v1/commands", batches.run_commands, "Many commands, one a line", None,
            scope=IMPORT_SCOPE, problem_statuses=(413,), media_type=NDJSON, accepted_type=NDJSON,
        ),
        RouteSpec(
            "GET", "/v1/events", events.read_events,
            "The events of the log, one a line; with 'Accept: text/event-stream' as they happen",
            None, scope=ANALYST_SCOPE, problem_statuses=(404, 422), media_type=NDJSON,
            query_names=("after", "from", "to", "type", "user", "stream"),
        ),
        RouteSpec("GET", "/health/live", checks.check_liveness, "Whether the process answers",
        Health),
        RouteSpec(
            "GET", "/health/ready", checks.check_readiness, "Whether the views keep up", Health,
            problem_statuses=(503,),
        ),
        RouteSpec(
            "GET", "/metrics", checks.render_metrics, "Figures for Prometheus", None,
            media_type="text/plain",
        ),
    ]  # fmt: skip


NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


def resource_routes(
    commands: CommandEndpoints,
    queries: QueryEndpoints,
    batches: BulkEndpoint,
    events: EventsEndpoint,
    projections: ProjectionEndpoints,
    checks: HealthEndpoints,
) -> list[RouteSpec]:
    """The table, but for the relations (`api.v1.relations`)."""
    return [
        *_account_routes(commands, queries),
        *_post_routes(commands, queries),
        *_timeline_routes(queries),
        *_projection_routes(projections),
        *_system_routes(batches, events, checks),
    ]
