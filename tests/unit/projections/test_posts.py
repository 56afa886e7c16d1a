"""What the projection `posts` keeps and answers."""

from events import schema
from projections import posts
from projections.pages import PageRequest
from projections.posts import (
    AUTHOR_POST_COUNTS,
    COMMENTS,
    LIKES,
    POST_COUNTS,
    POSTS,
    RETWEETS,
    AuthorPostCount,
    CommentRow,
    MarkingUser,
    MarkRow,
    PostCounts,
    PostRow,
    PostWithCounts,
    read_marks,
)
from tests.support.projection_dsl import given, id_at

ANNA, BEN, CARA = 1, 2, 3
POST, OTHER, COMMENT = 100, 101, 200
CAT = schema.Medium("7", "image/png", 4, 3, "L7E", "a cat")
POSTED = schema.PostCreated(POST, ANNA, "hi #Tag @ben", None, ("Tag",), ("ben",), (CAT,))
CAT_JSON = '[{"id":"7","type":"image/png","width":4,"height":3,"blurhash":"L7E","alt":"a cat"}]'
COMMENTED = schema.PostCreated(COMMENT, BEN, "oh", reply_to=POST)
ROW = PostRow(POST, ANNA, "hi #Tag @ben", None, '["Tag"]', '["ben"]', CAT_JSON)
TOMBSTONE = PostRow(POST, ANNA, "", None, "[]", "[]", "[]", deleted=1)
REPLY = PostRow(COMMENT, BEN, "oh", POST, "[]", "[]", "[]")


def liked(user: int, post: int = POST) -> schema.PostLiked:
    return schema.PostLiked(post, user, ANNA)


def unliked(user: int, post: int = POST) -> schema.PostUnliked:
    return schema.PostUnliked(post, user, ANNA)


def retweeted(user: int, post: int = POST) -> schema.PostRetweeted:
    return schema.PostRetweeted(post, user, ANNA)


def test_a_post_is_kept_with_all_that_it_says() -> None:
    given(POSTED).expect(POSTS, ROW).expect(AUTHOR_POST_COUNTS, AuthorPostCount(ANNA, 1)).expect(
        COMMENTS
    )


def test_a_comment_is_a_post_and_counts_on_what_it_answers() -> None:
    given(POSTED, COMMENTED).expect(POSTS, ROW, REPLY).expect(
        COMMENTS, CommentRow(POST, COMMENT)
    ).expect(POST_COUNTS, PostCounts(POST, 0, 0, 1)).expect(
        AUTHOR_POST_COUNTS, AuthorPostCount(ANNA, 1), AuthorPostCount(BEN, 1)
    )


def test_a_comment_that_comes_before_its_post_counts() -> None:
    given(COMMENTED, POSTED).expect(POST_COUNTS, PostCounts(POST, 0, 0, 1))


def test_an_edit_replaces_the_text_and_what_is_in_it() -> None:
    edit = schema.PostEdited(POST, ANNA, "#é", ("é",), ())
    given(POSTED, (id_at(5), edit)).expect(
        POSTS, PostRow(POST, ANNA, "#é", None, '["é"]', "[]", CAT_JSON, edited=id_at(5))
    )


def test_a_deleted_post_leaves_a_tombstone_and_its_comments() -> None:
    gone = schema.PostDeleted(POST, ANNA)
    edit = schema.PostEdited(POST, ANNA, "late")
    given(POSTED, COMMENTED, gone, edit, gone).expect(POSTS, TOMBSTONE, REPLY).expect(
        AUTHOR_POST_COUNTS, AuthorPostCount(BEN, 1)
    ).expect(COMMENTS, CommentRow(POST, COMMENT))


def test_a_deleted_comment_no_longer_counts() -> None:
    given(POSTED, COMMENTED, schema.PostDeleted(COMMENT, BEN, POST)).expect(COMMENTS).expect(
        POST_COUNTS
    )


def test_a_like_counts_once_while_its_row_is_there() -> None:
    given((id_at(1), liked(BEN)), liked(BEN), (id_at(2), liked(CARA))).expect(
        LIKES, MarkRow(BEN, POST, id_at(1)), MarkRow(CARA, POST, id_at(2))
    ).expect(POST_COUNTS, PostCounts(POST, 2, 0, 0))
    given(liked(BEN), unliked(BEN), unliked(BEN), unliked(CARA)).expect(LIKES).expect(POST_COUNTS)


def test_retweets_count_apart_from_likes() -> None:
    history = given(liked(BEN), (id_at(1), retweeted(BEN)), retweeted(CARA))
    history.expect(POST_COUNTS, PostCounts(POST, 1, 2, 0))
    given(retweeted(BEN), schema.PostUnretweeted(POST, BEN, ANNA)).expect(RETWEETS).expect(
        POST_COUNTS
    )


def test_a_deleted_account_takes_all_that_it_did_with_it() -> None:
    given(
        POSTED,
        COMMENTED,
        liked(BEN),
        liked(CARA),
        retweeted(BEN),
        liked(BEN, OTHER),
        schema.UserDeleted(BEN, "ben"),
    ).expect(POSTS, ROW, PostRow(COMMENT, BEN, "", POST, "[]", "[]", "[]", deleted=1)).expect(
        POST_COUNTS, PostCounts(POST, 1, 0, 0)
    ).expect(AUTHOR_POST_COUNTS, AuthorPostCount(ANNA, 1)).expect(COMMENTS).expect(RETWEETS)


def test_nothing_of_a_deleted_account_appears_later() -> None:
    given(schema.UserDeleted(BEN, "ben"), COMMENTED, liked(BEN), retweeted(BEN)).expect(
        POSTS
    ).expect(POST_COUNTS).expect(LIKES).expect(RETWEETS).expect(AUTHOR_POST_COUNTS)


def test_posts_are_answered_with_their_counts_unless_they_were_deleted() -> None:
    history = given(
        POSTED, COMMENTED, liked(BEN), retweeted(CARA), schema.PostDeleted(COMMENT, BEN, POST)
    )
    found = history.query(POSTS, lambda store: posts.read_posts(store, [POST, COMMENT, 404]))
    assert found == {
        POST: PostWithCounts(
            POST, ANNA, ROW.text, None, '["Tag"]', '["ben"]', CAT_JSON, None, 1, 1, 0
        )
    }


def test_comments_likers_and_retweeters_come_newest_first() -> None:
    more = schema.PostCreated(COMMENT + 1, CARA, "ah", reply_to=POST)
    history = given(
        COMMENTED, more, (id_at(3), liked(BEN)), (id_at(2), liked(CARA)), (id_at(4), retweeted(BEN))
    )
    two = PageRequest(limit=2)
    comments = history.query(POSTS, lambda store: posts.list_comments(store, POST, two))
    assert comments == [COMMENT + 1, COMMENT]
    likers = history.query(POSTS, lambda store: posts.list_likers(store, POST, two))
    assert likers == [MarkingUser(id_at(3), BEN), MarkingUser(id_at(2), CARA)]
    older = history.query(
        POSTS, lambda store: posts.list_likers(store, POST, PageRequest(max_id=id_at(3)))
    )
    assert older == [MarkingUser(id_at(2), CARA)]
    retweeters = history.query(POSTS, lambda store: posts.list_retweeters(store, POST, two))
    assert retweeters == [MarkingUser(id_at(4), BEN)]


def test_a_viewer_sees_what_they_liked_and_retweeted() -> None:
    history = given(liked(BEN), retweeted(BEN, OTHER), liked(CARA, OTHER))
    keys = [(BEN, POST), (BEN, OTHER), (BEN, COMMENT), (CARA, OTHER)]
    found = history.query(POSTS, lambda store: read_marks(store, keys))
    assert found == dict(
        zip(keys, [(True, False), (False, True), (False, False), (True, False)], strict=True)
    )


def test_posts_and_comments_of_users_are_counted() -> None:
    history = given(POSTED, COMMENTED, schema.PostCreated(OTHER, ANNA, "again"))
    found = history.query(POSTS, lambda store: posts.count_authored_posts(store, [ANNA, BEN, CARA]))
    assert found == {ANNA: 2, BEN: 1, CARA: 0}
