"""Where the rules for texts are our own: lengths, blanks, handles, URLs, folded tags."""

import time

import pytest

from commands.text import (
    MAX_TEXT_LENGTH,
    TextSpan,
    find_entities,
    find_hashtags,
    find_mentions,
    is_invisible,
    normalise_text,
    text_length,
)
from events.hashtags import fold_hashtag


def test_a_text_is_stored_composed_and_with_its_white_space() -> None:
    assert normalise_text(" cafe\u0301\n") == " café\n"


def test_every_line_is_stored_with_the_same_end() -> None:
    assert normalise_text("one\r\ntwo\rthree\n\r\nfour\r") == "one\ntwo\nthree\n\nfour\n"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("hello", 5),
        ("two\r\nlines", 9),
        ("e\u0301" * 280, 280),
        ("\u0958", 1),  # a letter that NFC takes apart
        ("👩🏽", 1),
        ("👩\u200d👩\u200d👧\u200d👦", 1),
        ("🇩🇪🇫🇷", 2),
        ("q" + "\u0301" * 50, 1),
        ("नमस्ते", 3),
    ],
)
def test_a_length_counts_grapheme_clusters(text: str, length: int) -> None:
    assert text_length(text) == length


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("https://example.com/" + "a" * 300, 23),
        ("http://x.de", 23),
        ("HTTP://EXAMPLE.COM", 23),
        ("see https://example.com/a, and (https://example.com/b).", 4 + 23 + 7 + 23 + 2),
        ("https://example.com https://example.com", 47),
        ("見てhttps://example.com/道", 25),
        ("https://例え.テスト/", 23),
        ("https://xn--r8jz45g.xn--zckzah/a", 23),
        ("https://user:password@example.com:8080/?q=1#top", 23),
        ("https://example.com/?u=https://example.org", 23),
        ("example.com", 11),  # a link, but shorter than what would be counted for it
        ("ftp://example.com", 17),
        ("https:// example.com", 20),
        ("xhttps://example.com", 20),
        ("mailto:anna@example.com", 23),
    ],
)
def test_a_link_counts_23_however_long_it_is(text: str, length: int) -> None:
    assert text_length(text) == length


def test_a_text_of_more_links_than_fit_is_too_long() -> None:
    assert text_length("https://a.de " * 12) == 24 * 12 > MAX_TEXT_LENGTH
    assert text_length(" ".join(["https://a.de"] * 11)) == 24 * 11 - 1 < MAX_TEXT_LENGTH
    assert text_length("https://a.de/" + "b" * 50 + " ") == 24
    assert text_length(("https://a.de/" + "b" * 50 + " ") * 100) > 13 * 23


@pytest.mark.parametrize(
    "text",
    ["", " \t\r\n", "\xa0\u2003\u3000", "\u200b\u200d\ufeff", "\u202e\u2066\u061c",
     "\u3164\u115f\uffa0", "\u2800", "\ufe0f\u034f", "\U000e0041\U000e007f", "\x00\x85", "\xad",
     "\U0001d159\ufff9"],
)  # fmt: skip
def test_what_has_no_shape_is_invisible(text: str) -> None:
    assert is_invisible(text)


@pytest.mark.parametrize(
    "text", [".", "\u200b.", "👩\u200d👧", "می\u200cخواهم", "\u0301", "\u0600"]
)
def test_what_has_a_shape_is_visible(text: str) -> None:
    assert not is_invisible(text)


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


@pytest.mark.parametrize(
    "word",
    [
        "a." * 135 + "/@anna",
        "http://" + "xn--a." * 14 + "xn--a_/@anna",
        "http://a/(" * 800 + "b.c/@anna",
        "//a" * 2000 + ".com/@anna",
    ],
)
def test_a_word_that_is_like_no_address_counts_as_a_url_and_costs_nothing(word: str) -> None:
    """Searching it for URLs takes from 100 ms to hours, more than a post may ask for."""
    find_entities("compiles.the/@patterns")
    started = time.process_time()
    assert find_entities(word) == ((), ())
    assert time.process_time() - started < 0.02


@pytest.mark.parametrize(
    "text", ["http://" + "xn--a." * 1300 + "xn--a_", "http://a/(" * 800, "http://(" * 1000]
)
def test_a_length_costs_nothing_whatever_is_counted(text: str) -> None:
    text_length("https://example.com")  # compiles the patterns
    started = time.process_time()
    assert text_length(text) > MAX_TEXT_LENGTH
    assert time.process_time() - started < 0.05


def test_a_text_without_signs_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(_: object, word: str) -> None:
        raise AssertionError(word)

    monkeypatch.setattr("linkify_it.LinkifyIt.match", searched)
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
