"""The words of texts and of queries."""

from hypothesis import given
from hypothesis import strategies as st

from api.search.search_words import MAX_QUERY_WORDS, MAX_WORD, query_words, words_of


def test_case_accents_and_forms_of_letters_make_no_difference() -> None:
    assert words_of("Straße STRASSE straße") == {"strasse"}
    assert words_of("Ångström ångstro\u0308m Ａngstrom") == {"angstrom"}
    assert words_of("ΣΊΣΥΦΟΣ σίσυφος") == words_of("σισυφοσ")


def test_words_end_where_neither_letters_nor_digits_nor_underscores_stand() -> None:
    assert words_of("Hi, @ada_l! #c++ http://x.org/1") == {
        "hi", "ada_l", "c", "http", "x", "org", "1",
    }  # fmt: skip
    assert words_of("… 🎉 —") == frozenset()


def test_scripts_without_spaces_are_cut_into_characters_and_pairs() -> None:
    assert words_of("東京X") == {"東", "京", "東京", "x"}
    assert query_words("東京都 x") == ("東京", "京都", "x")
    assert query_words("東") == ("東",)


def test_long_words_and_queries_are_clipped_alike() -> None:
    assert words_of("x" * 99) == {"x" * MAX_WORD} == set(query_words("x" * 200))
    assert len(query_words(" ".join(map(str, range(99))))) == MAX_QUERY_WORDS


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_a_text_is_found_by_each_part_between_spaces(part: str, before: str, after: str) -> None:
    assert set(query_words(part)) <= words_of(f"{before} {part} {after}")


@given(st.text(max_size=60))
def test_words_can_stand_in_the_query_of_a_database(text: str) -> None:
    for word in words_of(text):
        assert word == word.casefold()
        assert not set(word) & set("\"'*() \0")
