"""Laws of texts, over texts that are made of what the rules look at."""

import unicodedata

from hypothesis import assume, given
from hypothesis import strategies as st

from commands.text import (
    find_entities,
    find_hashtags,
    find_mentions,
    is_invisible,
    normalise_text,
    text_length,
)
from events.hashtags import fold_hashtag

PIECES = st.sampled_from(
    [
        *"#＃@＠&!/.:?_-~ \n\t7a", "ab", "é", "e\u0301", "漢字", "ｻﾞ", "～", "ﷺ", "゛", "\u200d",
        "\ufe0f", "\u20e3", "✌", "\U00016f04", "RT", "://", "http://", "https://", "example.com",
        "t.co/x", "xn--", "\u202e", "\u3164", "👩\u200d👧", "🇩🇪",
        "(", ")", "\x00", "١", "İ", "ß", "ͅ",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=40).map("".join)


@given(TEXTS)
def test_composing_twice_is_composing_once(text: str) -> None:
    composed = normalise_text(text)
    assert normalise_text(composed) == composed
    assert unicodedata.is_normalized("NFC", composed)
    assert text_length(composed) == text_length(text)


@given(TEXTS)
def test_a_text_counts_no_more_than_its_code_points_but_for_short_links(text: str) -> None:
    short_links = text.lower().count("http://") + text.lower().count("https://")
    assert bool(text) <= text_length(text) <= len(normalise_text(text)) + 23 * short_links


@given(TEXTS, TEXTS)
def test_lengths_on_two_lines_add_up(one: str, other: str) -> None:
    def links(text: str) -> int:
        return text.count("://")

    assume(links(one) + links(other) <= 12)
    assert text_length(f"{one} \n{other}") == text_length(f"{one} ") + 1 + text_length(other)


@given(TEXTS)
def test_a_link_counts_the_same_however_long_its_path_is(text: str) -> None:
    assume(text.count("://") <= 11)
    short, long = f"{text} https://a.de/b", f"{text} https://a.de/{'b' * 200}"
    assert text_length(short) == text_length(long) == text_length(text + " ") + 23


@given(TEXTS)
def test_a_text_is_invisible_if_all_its_characters_are(text: str) -> None:
    assert is_invisible(text) == all(map(is_invisible, text))
    assert not is_invisible(text + "a")


@given(TEXTS)
def test_every_hashtag_stands_in_the_text_behind_its_sign(text: str) -> None:
    for tag in find_hashtags(text):
        assert text[tag.start] in "#＃"
        assert text[tag.start + 1 : tag.end] == tag.name != ""


@given(TEXTS)
def test_every_mention_stands_in_the_text_behind_its_sign_and_could_be_a_handle(text: str) -> None:
    for mention in find_mentions(text):
        assert text[mention.start] in "@＠"
        assert text[mention.start + 1 : mention.end] == mention.name + mention.slug
        assert 2 <= len(mention.name) <= 30
        assert mention.name.isascii()


@given(TEXTS)
def test_entities_are_the_names_of_hashtags_and_mentions(text: str) -> None:
    found = find_entities(text)
    assert list(found.hashtags) == [tag.name for tag in find_hashtags(text)]
    assert list(found.mentions) == [mention.name for mention in find_mentions(text)]


@given(st.text().filter(lambda text: not set("#＃@＠") & set(text)))
def test_a_text_without_signs_has_no_entities(text: str) -> None:
    assert find_entities(text) == ((), ())


@given(TEXTS)
def test_a_folded_hashtag_is_itself_a_hashtag_and_folds_to_itself(text: str) -> None:
    for tag in find_entities(text).hashtags:
        folded = fold_hashtag(tag)
        assert fold_hashtag(folded) == folded
        assert find_entities("#" + folded).hashtags == (folded,)
