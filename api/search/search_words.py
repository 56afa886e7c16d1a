"""The words of a text, as the index has them and as a search asks for them.

One tokenizer for both profiles, in place of those of SQLite and MongoDB, which differ:
compatibility forms and letter case are folded (Unicode NFKD, `casefold`), and accents are left out,
so that `Café`, `CAFE` and `cafe` are one word. A word is a run of letters, digits, marks and
underscores. Scripts that put no spaces between words are cut into single characters and pairs of
neighbours, as search engines do for Chinese and Japanese; of them a search asks for the pairs.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

MAX_WORD: Final = 64
"""Characters of a word that count."""

MAX_QUERY_WORDS: Final = 16
"""Words that a search asks for; more are left out."""

TOKENIZER_VERSION: Final = 1
"""Raise it whenever a text gets other words than before, and the index is made anew."""

_ASCII_WORDS: Final = re.compile("[a-z0-9_]+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_UNSPACED: Final = re.compile(
    # Thai and Lao; Myanmar; Khmer; kana; Han; Hangul; Han beyond the first plane
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
    "\U00020000-\U0003ffff]+)"
)


def words_of(text: str) -> frozenset[str]:
    """The words under which a text is found."""
    words: set[str] = set()
    for run, unspaced in _runs(text):
        if unspaced:
            words.update(run)
            words.update(map("".join, pairwise(run)))
        else:
            words.add(run)
    return frozenset(words)


def query_words(query: str) -> tuple[str, ...]:
    """The words that a text must have to be found, in order; none for a query without any."""
    words: dict[str, None] = {}
    for run, unspaced in _runs(query):
        if unspaced and len(run) > 1:
            words.update(dict.fromkeys(map("".join, pairwise(run))))
        else:
            words[run] = None
    return tuple(words)[:MAX_QUERY_WORDS]


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    """Runs of characters, and whether they are of a script without spaces."""
    if text.isascii():
        for word in _ASCII_WORDS.findall(text.lower()):
            yield word[:MAX_WORD], False
        return
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    # Once more: folding may leave accents and compatibility forms behind.
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", bare))
    folded = unicodedata.normalize("NFC", bare)
    spaced = "".join(c if _is_of_word(c) else " " for c in folded)
    for run in spaced.split():
        for place, part in enumerate(_UNSPACED.split(run)):
            if part:
                unspaced = place % 2 == 1
                yield (part if unspaced else part[:MAX_WORD]), unspaced


def _is_of_word(character: str) -> bool:
    return (
        character.isalnum()
        or character == "_"
        or (not character.isascii() and unicodedata.category(character)[0] == "M")
    )
