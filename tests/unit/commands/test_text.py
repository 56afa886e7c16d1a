"""Where the rules for texts are our own: lengths, handles, URLs, folded tags."""

import time

import pytest

from commands.text import (
    MAX_TEXT_LENGTH,
    TextSpan,
    find_entities,
    find_hashtags,
    find_mentions,
    normalise_text,
    text_length,
)
from events.hashtags import fold_hashtag


def test_a_text_is_stored_composed_and_with_its_white_space() -> None:
    assert normalise_text(" cafe\u0301\n") == " café\n"


def test_a_length_counts_code_points_after_composing() -> None:
    assert text_length("e\u0301" * MAX_TEXT_LENGTH) == MAX_TEXT_LENGTH
    assert text_length("👩🏽") == 2
    assert text_length("\u0958") == 2  # a letter that NFC takes apart


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@" + "a" * 30, ["a" * 30]),
        ("@" + "a" * 31, []),
        ("@a", []),
        ("@ab", ["ab"]),
        ("@Anna and @ANNA", ["Anna", "ANNA"]),
    ],
)
def test_a_mention_is_as_long_as_a_handle_can_be(text: str, names: list[str]) -> None:
    assert [mention.name for mention in find_mentions(text)] == names


def test_a_mention_with_a_path_means_the_user() -> None:
    assert find_entities("ask @anna/friends").mentions == ("anna",)
    assert find_mentions("ask @anna/friends now") == [TextSpan("anna", 4, 17, "/friends")]


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/@anna",
        "see example.com/a#tag",
        "(http://example.com/?q=#tag",
        "https://example.com/path/#!/@anna",
        "http://＃example.com",
    ],
)
def test_what_is_part_of_a_url_is_neither_hashtag_nor_mention(text: str) -> None:
    assert find_entities(text) == ((), ())


def test_what_only_stands_beside_a_url_counts() -> None:
    text = "#one https://example.com/#no #two no.url/for/.?#three @anna example.com/@no"
    assert find_entities(text) == (("one", "two", "three"), ("anna",))
    assert [tag.start for tag in find_hashtags(text)] == [0, 29, 47]


def test_a_word_of_more_labels_than_any_address_has_counts_as_a_url_and_costs_nothing() -> None:
    """Searching it for URLs takes some 100 ms, for which one post must not be able to ask."""
    text = "a." * 135 + "/@anna"
    started = time.process_time()
    assert find_entities(text) == ((), ())
    assert time.process_time() - started < 0.02


def test_a_text_without_signs_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(word: str) -> list[dict[str, object]]:
        raise AssertionError(word)

    monkeypatch.setattr("commands.text.extract_urls_with_indices", searched)
    assert find_entities("see https://example.com/a.b?c for 5 % off") == ((), ())
    assert find_entities("#tag and @anna see https://example.com/a.b?c") == (("tag",), ("anna",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Python", "pYTHON"),
        ("Straße", "STRASSE"),
        ("ｈａｓｈｔａｇ１２３", "hashtag123"),
        ("ｻｯｶｰ", "サッカー"),
        ("ﾊｯｼｭﾀｸﾞ", "ハッシュタグ"),
        ("メ～テレ", "メ〜テレ"),
        ("𝗡𝗲𝘄𝘀", "news"),
        ("cafe\u0301", "CAFÉ"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ﷺ", "صلىاللهعليهوسلم"),
    ],
)
def test_tags_that_are_the_same_word_fold_to_one(one: str, other: str) -> None:
    assert fold_hashtag(one) == fold_hashtag(other)


def test_tags_that_only_look_alike_stay_apart() -> None:
    assert fold_hashtag("می‌خواهم") != fold_hashtag("میخواهم")
    assert fold_hashtag("café") != fold_hashtag("cafe")
    assert fold_hashtag("İn") != fold_hashtag("ın")
