"""Every operation of the API in one table, in the order of the documentation."""

from api import paging
from api.auth import ANALYST, IMPORT, OPERATOR, USER
from api.batch import Batches
from api.commands import Commands
from api.events import Events
from api.health import Checks
from api.operations import Operations
from api.people import READS as USERS
from api.queries import LISTING, Queries
from api.routes import Operation
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

POSTS = ("posts", "profiles")


def _accounts(c: Commands, q: Queries) -> list[Operation]:
    me, user = "/v1/users/me", "/v1/users/{ref}"
    return [
        Operation(
            "POST", "/v1/users", c.register, "Register", Registered, NewUser, made=True,
            command=True, problems=(409,),
        ),
        Operation(
            "POST", "/v1/sessions", c.sign_in, "Sign in", Token, SignIn, made=True,
            problems=(401, 429, 503),
        ),
        Operation("GET", me, q.me, "Oneself", User, scope=USER, reads=USERS),
        Operation(
            "PATCH", me, c.change_profile, "Change oneself", Done, ProfilePatch, scope=USER,
            command=True, problems=(403, 409, 429),
        ),
        Operation("DELETE", me, c.delete_account, "Leave", Done, scope=USER, command=True),
        Operation(
            "GET", user, q.user, "A user", User, query=("at",), reads=USERS,
            problems=(404, 422, 503),
        ),
        Operation(
            "GET", f"{user}/posts", q.authored, "A user's posts", list[Post], reads=LISTING,
            pages=paging.POSTS, problems=(404,),
        ),
        Operation(
            "GET", f"{user}/followers", q.followers, "Who follows a user", list[User],
            reads=USERS, pages=paging.USERS, problems=(404,),
        ),
        Operation(
            "GET", f"{user}/following", q.following, "Whom a user follows", list[User],
            reads=USERS, pages=paging.USERS, problems=(404,),
        ),
    ]  # fmt: skip


def _posts(c: Commands, q: Queries) -> list[Operation]:
    post = "/v1/posts/{id}"
    return [
        Operation(
            "POST", "/v1/posts", c.post, "Post", Post, NewPost, made=True, scope=USER,
            command=True, problems=(403, 404),
        ),
        Operation("GET", post, q.post, "A post", Post, reads=LISTING, problems=(404,)),
        Operation(
            "PATCH", post, c.edit_post, "Edit a post of one's own", Done, EditedPost, scope=USER,
            command=True, problems=(403, 404),
        ),
        Operation(
            "DELETE", post, c.delete_post, "Delete a post of one's own", Done, scope=USER,
            command=True, problems=(403, 404),
        ),
        Operation(
            "GET", f"{post}/comments", q.comments, "What answers a post", list[Post],
            reads=LISTING, pages=paging.POSTS, problems=(404,),
        ),
        Operation(
            "POST", f"{post}/comments", c.comment, "Answer a post", Post, NewComment, made=True,
            scope=USER, command=True, problems=(403, 404),
        ),
        Operation(
            "GET", f"{post}/likes", q.likes, "Who likes a post", list[User],
            reads=(*USERS, "timeline"), pages=paging.USERS, problems=(404,),
        ),
        Operation(
            "GET", f"{post}/retweets", q.retweets, "Who retweeted a post", list[User],
            reads=(*USERS, "timeline"), pages=paging.USERS, problems=(404,),
        ),
    ]  # fmt: skip


def _timelines(q: Queries) -> list[Operation]:
    return [
        Operation(
            "GET", "/v1/timelines/home", q.home, "The reader's home timeline", list[Post],
            scope=USER, reads=LISTING, pages=paging.POSTS,
        ),
        Operation(
            "GET", "/v1/timelines/public", q.public, "Everybody's posts", list[Post],
            reads=LISTING, pages=paging.POSTS,
        ),
        Operation(
            "GET", "/v1/hashtags/{tag}/posts", q.hashtag, "The posts with a hashtag",
            list[Post], reads=LISTING, pages=paging.POSTS,
        ),
        Operation(
            "GET", "/v1/trends", q.trends, "Hashtags used more than usual", list[Trend],
            query=("limit", "at"), reads=("trending",), problems=(422, 503),
        ),
    ]  # fmt: skip


def _projections(o: Operations) -> list[Operation]:
    one = "/v1/projections/{name}"
    return [
        Operation(
            "GET", "/v1/projections", o.list, "Where each projection stands", list[Projected],
            scope=OPERATOR, problems=(503,),
        ),
        Operation(
            "POST", f"{one}/rebuild", o.rebuild,
            "Make a view anew from the log while the old one serves; tells how far it is",
            None, scope=OPERATOR, query=("verify",), problems=(404, 409, 422, 503), media=SSE,
        ),
        Operation(
            "GET", f"{one}/rebuild", o.progress, "How far a rebuild is, until it ends", None,
            scope=OPERATOR, problems=(404, 503), media=SSE,
        ),
        Operation(
            "DELETE", f"{one}/rebuild", o.cancel, "Take a rebuild back", Projected,
            scope=OPERATOR, problems=(404, 409, 503),
        ),
        Operation(
            "POST", f"{one}/pause", o.pause, "Keep a view as it is", Projected, scope=OPERATOR,
            problems=(404, 409, 503),
        ),
        Operation(
            "POST", f"{one}/resume", o.resume, "Go on with a view", Projected, scope=OPERATOR,
            problems=(404, 409, 503),
        ),
    ]  # fmt: skip


def _machines(batches: Batches, events: Events, checks: Checks) -> list[Operation]:
    return [
        Operation(
            "POST", "/v1/commands", batches.run, "Many commands, one a line", None,
            scope=IMPORT, problems=(413,), media=NDJSON, accepts=NDJSON,
        ),
        Operation(
            "GET", "/v1/events", events.read,
            "The events of the log, one a line; with 'Accept: text/event-stream' as they happen",
            None, scope=ANALYST, problems=(404, 422), media=NDJSON,
            query=("after", "from", "to", "type", "user", "stream"),
        ),
        Operation("GET", "/health/live", checks.live, "Whether the process answers", Health),
        Operation(
            "GET", "/health/ready", checks.ready, "Whether the views keep up", Health,
            problems=(503,),
        ),
        Operation(
            "GET", "/metrics", checks.metrics, "Figures for Prometheus", None,
            media="text/plain",
        ),
    ]  # fmt: skip


NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


def operations(
    commands: Commands,
    queries: Queries,
    batches: Batches,
    events: Events,
    projections: Operations,
    checks: Checks,
) -> list[Operation]:
    """The table, but for the relations (`api.relations`)."""
    return [
        *_accounts(commands, queries),
        *_posts(commands, queries),
        *_timelines(queries),
        *_projections(projections),
        *_machines(batches, events, checks),
    ]
