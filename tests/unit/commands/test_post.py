"""Rules of posts and comments."""

import pytest

from commands.decider import Command
from commands.errors import InvalidInput, NotAllowed, NotFound
from commands.post import Comment, CreatePost, DeletePost, EditPost
from events.schema import Medium, PostCreated, PostDeleted, PostEdited, UserBlocked, UserUnblocked
from tests.support.decider_dsl import (
    ANNA,
    ANNA_POSTED,
    BEN,
    BEN_POSTED,
    COMMENT,
    NEW_ID,
    PEOPLE,
    POST,
)


def test_a_post_is_stored_with_the_hashtags_and_mentions_in_its_text() -> None:
    text = "Hi @ben, see #Sun and #rain"
    PEOPLE.when(CreatePost(text)).then(
        PostCreated(NEW_ID, ANNA, text, None, ("Sun", "rain"), ("ben",))
    )


def test_a_text_is_composed_before_it_is_measured_and_stored() -> None:
    PEOPLE.when(CreatePost("e\u0301" * 280)).then(PostCreated(NEW_ID, ANNA, "\xe9" * 280))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "text-empty"),
        (" \n\t", "text-empty"),
        ("\u200b\u3164\u202e", "text-empty"),
        ("a" * 281, "text-too-long"),
        ("https://example.com " * 12, "text-too-long"),
        ("q" + "\u0301" * 4096, "text-too-long"),
        ("q" + "\u0315\u0300" * 225_000, "text-too-long"),
        ("https://example.com/" + "a" * 8173, "text-too-long"),
    ],
)
def test_a_text_has_1_to_280_characters_that_can_be_seen_and_8_kib_at_most(
    text: str, code: str
) -> None:
    commands: list[Command] = [
        CreatePost(text),
        CreatePost(text, reply_to=POST),
        Comment(POST, text),
        EditPost(POST, text),
    ]
    for command in commands:
        ANNA_POSTED.when(command).then_rejected(code, InvalidInput)


@pytest.mark.parametrize(
    "text",
    [
        " ".join(["https://example.com/" + "a" * 300] * 11),
        "👩\u200d👩\u200d👧\u200d👦" * 280,
        "https://example.com/" + "a" * 8172,
    ],
)
def test_links_and_grapheme_clusters_are_as_long_as_they_like_within_8_kib(text: str) -> None:
    PEOPLE.when(CreatePost(text)).then(PostCreated(NEW_ID, ANNA, text))


def test_a_refusal_says_how_long_the_text_is_and_how_long_it_may_be() -> None:
    with pytest.raises(InvalidInput, match=r"counts 281 characters, each link 23 .* to 280"):
        PEOPLE.when(CreatePost("https://example.com/" + "a" * 100 + " " + "b" * 257)).then()
    with pytest.raises(InvalidInput, match=r"takes 8,193 bytes of UTF-8; shorten it to 8,192"):
        PEOPLE.when(CreatePost("a" * 8193)).then()


def test_a_post_shows_four_images_at_most_each_with_what_is_known_of_it() -> None:
    uploads = tuple(Medium(id, "image/png", 3, 2, "L7E", f"picture {id}") for id in "12345")
    PEOPLE.when(CreatePost("x", media=("4", "3", "2", "1")), uploads=uploads).then(
        PostCreated(NEW_ID, ANNA, "x", media=tuple(reversed(uploads[:4])))
    )
    BEN_POSTED.when(Comment(POST, "x", media=("5",)), uploads=uploads).then(
        PostCreated(NEW_ID, ANNA, "x", POST, media=uploads[4:])
    )
    many = CreatePost("x", media=tuple("12345"))
    PEOPLE.when(many, uploads=uploads).then_rejected("media-too-many", InvalidInput)
    for bad in (("",), ("a/b",), ("a" * 65,), ("1", "1")):
        wrong = PEOPLE.when(CreatePost("x", media=bad), uploads=uploads)
        wrong.then_rejected("media-invalid", InvalidInput)
    PEOPLE.when(CreatePost("x", media=("6",)), uploads=uploads).then_rejected(
        "media-unknown", InvalidInput
    )


def test_a_comment_and_a_post_that_replies_are_the_same() -> None:
    BEN_POSTED.when(Comment(POST, "yes")).then(PostCreated(NEW_ID, ANNA, "yes", POST))
    BEN_POSTED.when(CreatePost("yes", POST)).then(PostCreated(NEW_ID, ANNA, "yes", POST))


def test_one_may_answer_oneself_and_a_comment_may_be_answered() -> None:
    ANNA_POSTED.when(Comment(POST, "more")).then(PostCreated(NEW_ID, ANNA, "more", POST))
    answered = BEN_POSTED.and_then(PostCreated(COMMENT, ANNA, "yes", POST))
    answered.when(Comment(COMMENT, "no"), BEN).then(PostCreated(NEW_ID, BEN, "no", COMMENT))


def test_a_comment_outlives_the_post_that_its_parent_answered() -> None:
    gone = BEN_POSTED.and_then(PostCreated(COMMENT, ANNA, "yes", POST), PostDeleted(POST, BEN))
    gone.when(Comment(COMMENT, "no"), BEN).then(PostCreated(NEW_ID, BEN, "no", COMMENT))


def test_a_user_who_blocked_the_author_does_not_answer_them() -> None:
    blocking = BEN_POSTED.and_then(UserBlocked(ANNA, BEN))
    blocking.when(Comment(POST, "yes")).then_rejected("blocking", NotAllowed)
    blocking.when(CreatePost("yes", reply_to=POST)).then_rejected("blocking", NotAllowed)


def test_a_block_that_ended_allows_answering() -> None:
    ended = BEN_POSTED.and_then(UserBlocked(BEN, ANNA), UserUnblocked(BEN, ANNA))
    ended.when(Comment(POST, "yes")).then(PostCreated(NEW_ID, ANNA, "yes", POST))


def test_only_the_author_edits() -> None:
    ANNA_POSTED.when(EditPost(POST, "bye #now @cara")).then(
        PostEdited(POST, ANNA, "bye #now @cara", ("now",), ("cara",))
    )
    BEN_POSTED.when(EditPost(POST, "bye")).then_rejected("not-author", NotAllowed)
    PEOPLE.when(EditPost(POST, "bye")).then_rejected("post-not-found", NotFound)


def test_an_edit_to_the_same_text_makes_no_event() -> None:
    ANNA_POSTED.when(EditPost(POST, "hello")).then_nothing()
    ANNA_POSTED.when(EditPost(POST, "cafe\u0301")).then_idempotent()


def test_an_edit_keeps_the_warnings_that_it_does_not_name() -> None:
    PEOPLE.when(CreatePost("x", sensitive=True, spoiler_text="e\u0301", language="en")).then(
        PostCreated(NEW_ID, ANNA, "x", sensitive=True, spoiler_text="\xe9", language="en")
    )
    warned = PEOPLE.and_then(PostCreated(POST, ANNA, "x", None, (), (), (), True, "boo", "en"))
    warned.when(EditPost(POST, "x")).then_nothing()
    warned.when(EditPost(POST, "y")).then(PostEdited(POST, ANNA, "y", (), (), True, "boo", "en"))
    warned.when(EditPost(POST, "x", False, "", "de")).then(
        PostEdited(POST, ANNA, "x", language="de")
    )
    warned.when(EditPost(POST, sensitive=False)).then(
        PostEdited(POST, ANNA, "x", (), (), False, "boo", "en")
    )
    warned.when(EditPost(POST)).then_nothing()
    warned.when(EditPost(POST, "x", spoiler_text="a" * 281)).then_rejected("text-too-long")
    PEOPLE.when(CreatePost("x", language="in English")).then_rejected("language-invalid")


def test_a_deleted_post_is_not_edited() -> None:
    gone = ANNA_POSTED.and_then(PostDeleted(POST, ANNA))
    gone.when(EditPost(POST, "bye")).then_rejected("post-not-found", NotFound)


def test_only_the_author_deletes() -> None:
    ANNA_POSTED.when(DeletePost(POST)).then(PostDeleted(POST, ANNA))
    BEN_POSTED.when(DeletePost(POST)).then_rejected("not-author", NotAllowed)
    PEOPLE.when(DeletePost(POST)).then_rejected("post-not-found", NotFound)


def test_deleting_a_comment_says_what_it_answered() -> None:
    answered = BEN_POSTED.and_then(PostCreated(COMMENT, ANNA, "yes", POST))
    answered.when(DeletePost(COMMENT)).then(PostDeleted(COMMENT, ANNA, POST))


def test_a_post_is_deleted_once_and_then_unknown_to_others() -> None:
    ANNA_POSTED.when(DeletePost(POST)).then_idempotent()
    gone = BEN_POSTED.and_then(PostDeleted(POST, BEN))
    gone.when(DeletePost(POST)).then_rejected("post-not-found", NotFound)
