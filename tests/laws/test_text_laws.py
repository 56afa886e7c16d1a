"""Laws of texts, over texts that are made of what the rules look at."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from commands.text import find_entities, find_hashtags, find_mentions, normalise_text, text_length
from events.hashtags import fold_hashtag

PIECES = st.sampled_from(
    [
        *"#＃@＠&!/.:?_-~ \n\t7a", "ab", "é", "e\u0301", "漢字", "ｻﾞ", "～", "ﷺ", "゛", "\u200d",
        "\ufe0f", "\u20e3", "✌", "\U00016f04", "RT", "://", "http://", "https://", "example.com",
        "t.co/x", "xn--", "(", ")", "\x00", "١", "İ", "ß", "ͅ",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=40).map("".join)


@given(TEXTS)
def test_composing_twice_is_composing_once(text: str) -> None:
    composed = normalise_text(text)
    assert normalise_text(composed) == composed
    assert unicodedata.is_normalized("NFC", composed)
    assert text_length(composed) == text_length(text) == len(composed)


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
