"""The views of `starling sql`: events of each type, and what they come to as of now.

All times are UTC timestamps without a zone, ids are BIGINT. A view of the present follows the same
rules as the read models: an account that was deleted takes its posts, likes, retweets and follows
with it, a deleted post those given to it, and a block ends follows (`docs/adr/0006`).
"""

from collections.abc import Iterator
from typing import Any, Final, get_type_hints

from events.schema import EVENT_TYPES, ID_FIELDS, Event
from streams.export.parquet_format import ID_COLUMNS, TEXT_COLUMNS

_SHARED_COLUMNS: Final = frozenset((*ID_COLUMNS, *TEXT_COLUMNS))
_ENVELOPE_COLUMNS: Final = "position, id, time, actor"

_CURRENT_STATE_VIEWS: Final = {
    "users": """
        SELECT user, handle, coalesce(p.name, r.name) AS name, coalesce(p.bio, r.bio) AS bio,
               r.time AS created
        FROM user_registered r
        LEFT JOIN (SELECT user, max_by(name, position) AS name, max_by(bio, position) AS bio
                   FROM profile_changed GROUP BY user) p USING (user)
        ANTI JOIN user_deleted USING (user)
    """,
    "living_posts": """
        SELECT post, author, reply_to
        FROM post_created
        ANTI JOIN post_deleted USING (post)
        SEMI JOIN users ON users.user = post_created.author
    """,
    "likes": """
        SELECT post, user, max_by(author, position) AS author, max_by(id, position) AS id,
               max_by(time, position) AS time
        FROM events
        SEMI JOIN living_posts USING (post)
        SEMI JOIN users USING (user)
        WHERE category = 'like'
        GROUP BY post, user
        HAVING max_by(type, position) = 'post-liked'
    """,
    "retweets": """
        SELECT post, user, max_by(author, position) AS author, max_by(id, position) AS id,
               max_by(time, position) AS time
        FROM events
        SEMI JOIN living_posts USING (post)
        SEMI JOIN users USING (user)
        WHERE category = 'retweet'
        GROUP BY post, user
        HAVING max_by(type, position) = 'post-retweeted'
    """,
    "follows": """
        SELECT followee, follower, f.id, f.time
        FROM (SELECT followee, follower, max_by(type, position) AS last,
                     max_by(id, position) AS id, max_by(time, position) AS time,
                     max_by((data ->> 'blocks')::BIGINT, position) AS blocks
              FROM events WHERE category = 'follow' GROUP BY followee, follower) f
        LEFT JOIN (SELECT least(blocker, blocked) AS one, greatest(blocker, blocked) AS other,
                          count(*) AS blocks
                   FROM user_blocked GROUP BY ALL) b
          ON b.one = least(followee, follower) AND b.other = greatest(followee, follower)
        SEMI JOIN users u ON u.user = followee
        SEMI JOIN users v ON v.user = follower
        WHERE last = 'user-followed' AND coalesce(f.blocks, 0) = coalesce(b.blocks, 0)
    """,
    "posts": """
        SELECT c.post, c.author, users.handle, c.time AS created, c.reply_to,
               coalesce(e.text, c.text) AS text,
               coalesce(e.hashtags, c.hashtags) AS hashtags,
               coalesce(e.mentions, c.mentions) AS mentions,
               c.media, e.edited,
               coalesce(l.n, 0) AS likes, coalesce(r.n, 0) AS retweets,
               coalesce(a.n, 0) AS comments
        FROM post_created c
        SEMI JOIN living_posts USING (post)
        JOIN users ON users.user = c.author
        LEFT JOIN (SELECT post, max_by(text, position) AS text,
                          max_by(hashtags, position) AS hashtags,
                          max_by(mentions, position) AS mentions, max(time) AS edited
                   FROM post_edited GROUP BY post) e USING (post)
        LEFT JOIN (SELECT post, count(*) AS n FROM likes GROUP BY post) l USING (post)
        LEFT JOIN (SELECT post, count(*) AS n FROM retweets GROUP BY post) r USING (post)
        LEFT JOIN (SELECT reply_to AS post, count(*) AS n FROM living_posts
                   WHERE reply_to IS NOT NULL GROUP BY reply_to) a USING (post)
    """,
}

VIEW_NAMES: Final = ("events", "users", "posts", "likes", "retweets", "follows")
"""The views that the guide begins with; there is one for each type of event besides."""


def create_view_statements(events: str) -> Iterator[str]:
    """SQL that makes every view, given a query for the rows of `streams.export.parquet_format`."""
    yield (
        f"CREATE VIEW events AS SELECT * REPLACE (time AT TIME ZONE 'UTC' AS time) FROM ({events})"
    )
    for kind, (name, _) in EVENT_TYPES.items():
        yield f"CREATE VIEW {event_view_name(name)} AS {_event_type_sql(kind, name)}"
    for view, query in _CURRENT_STATE_VIEWS.items():
        yield f"CREATE VIEW {view} AS {query}"


def event_view_name(name: str) -> str:
    """The view of the events with a stored name: `post_liked` of `post-liked`."""
    return name.replace("-", "_")


def _event_type_sql(kind: type[Event], name: str) -> str:
    columns = [_column_sql(field, type) for field, type in get_type_hints(kind).items()]
    return f"SELECT {_ENVELOPE_COLUMNS}, {', '.join(columns)} FROM events WHERE type = '{name}'"


def _column_sql(field: str, type: Any) -> str:
    if field in _SHARED_COLUMNS:
        return field
    if type == tuple[str, ...]:
        return f"""from_json(data -> '{field}', '["VARCHAR"]') AS {field}"""
    if field in ID_FIELDS or type is int:
        return f"(data ->> '{field}')::BIGINT AS {field}"
    return f"data ->> '{field}' AS {field}"
