"""Which posts a reader's filters match."""

import pytest

from api.views.reader_filters import compile_filter
from events.schema import FilterChanged, FilteredPost, FilterKeyword


def matched(text: str, *keywords: FilterKeyword) -> str | None:
    made = compile_filter(FilterChanged(1, 2, "x", ("home",), keywords=keywords))
    match = made.match(3, text, text.casefold())
    return match.words if match else None


@pytest.mark.parametrize(
    ("words", "whole", "text", "found"),
    [
        ("cat", True, "A Cat sat", "Cat"),
        ("cat", True, "category", None),
        ("cat", False, "a CATegory", "CAT"),
        ("#cat", True, "look, #cat!", "#cat"),
        ("#cat", True, "#cats", None),
        ("c++", True, "C++ is fine", "C++"),
        ("a.b", False, "axb", None),
        ("łódź", True, "in ŁÓDŹ now", "ŁÓDŹ"),
        ("two words", True, "Two words", "Two words"),
        ("猫", False, "黒猫です", "猫"),
    ],
)
def test_words_match_whatever_their_case(
    words: str, whole: bool, text: str, found: str | None
) -> None:
    assert matched(text, FilterKeyword(1, words, whole)) == found


def test_one_of_several_keywords_is_enough_and_an_erased_one_matches_nothing() -> None:
    assert matched("b", FilterKeyword(1, "a"), FilterKeyword(2, ""), FilterKeyword(3, "b")) == "b"
    assert matched("c", FilterKeyword(1, "")) is None


def test_a_post_is_named_itself() -> None:
    made = compile_filter(FilterChanged(1, 2, "x", ("home",), posts=(FilteredPost(1, "3"),)))
    named = made.match(3, "", "")
    assert named is not None
    assert (named.words, named.is_named) == (None, True)
    assert made.match(4, "", "") is None
