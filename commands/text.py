"""What a post's text says: its length, its hashtags, its mentions.

The rules are those of twitter-text (github.com/twitter/twitter-text), held by its conformance
cases in tests/real. We depart from them where users differ: a mention names a possible handle, so
it has 2-30 characters and a longer run is none (there 1-20, and a longer run is cut); it is never
part of a URL; and there are no lists, so that `@anna/friends` mentions anna.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import regex
from twitter_text import extract_urls_with_indices

MAX_TEXT_LENGTH = 280
"""The most characters (code points after NFC) that a post may have; the fewest are 1."""


class TextSpan(NamedTuple):
    """A hashtag or a mention: `name` without its sign, and where it stands, sign included.

    `slug` is what follows a mention like a path (`/friends` in `@anna/friends`) and belongs to
    where it stands, not to its name.
    """

    name: str
    start: int
    end: int
    slug: str = ""


class TextEntities(NamedTuple):
    """Hashtags and mentions without their signs, as written, in the order of the text.

    What is written twice is in it twice.
    """

    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]


_HASH_SIGNS, _AT_SIGNS = "#\uff03", "@\uff20"  # each in half and full width

# Letters, marks and digits of any script, and what may stand between the letters of a word:
# underscore, ZWNJ, ZWJ, Cyrillic kavyka, Hebrew maqaf, geresh and gershayim, fullwidth tilde, wave
# dash, the voiced sound marks, double hyphen, katakana middle dot, ditto mark, the two Tibetan
# tsheg, middle dot.
_WORD_JOINERS = (
    r"_\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c"
    r"\u309b\u309c\u30a0\u30fb\u3003\u0f0b\u0f0c\xb7"
)
_HASHTAG_CHARACTERS = rf"\p{{L}}\p{{M}}\p{{Nd}}{_WORD_JOINERS}"
_HASHTAG_NON_LETTERS = rf"\p{{Nd}}{_WORD_JOINERS}"

# Variation selectors are marks, yet after one (an emoji ends there) a tag may begin; before one,
# or before the keycap U+20E3, the sign is part of an emoji. Everything after the sign is
# possessive: 'http' in '#http://' must not shrink to a shorter tag that would be allowed.
_HASHTAG_PATTERN = regex.compile(
    rf"(?V1)(?<![[{_HASHTAG_CHARACTERS}&]--[\ufe0e\ufe0f]])[{_HASH_SIGNS}](?![\ufe0f\u20e3])"
    rf"(?=[{_HASHTAG_NON_LETTERS}]*+[\p{{L}}\p{{M}}])(?P<name>[{_HASHTAG_CHARACTERS}]++)(?![{_HASH_SIGNS}]|://)"
)

# Before the sign: nothing that makes it an email address or a word of its own, or RT. After the
# name: no accented Latin letter, as the name would be a word cut short.
_MENTION_PATTERN = regex.compile(
    rf"(?V1)(?:(?<![A-Za-z0-9_!#$%&*{_AT_SIGNS}])|(?<=(?<![A-Za-z0-9_+~.\-])[Rr][Tt]))[{_AT_SIGNS}]"
    r"(?P<name>[A-Za-z0-9_]{2,30}+)(?![A-Za-z0-9_])(?P<slug>(?:/[A-Za-z][A-Za-z0-9_\-]{0,24}+)?+)"
    rf"(?![{_AT_SIGNS}]|[[\p{{Latin}}&&[\xc0-\u02af\u1e00-\u1eff]]\u02bb\u0300-\u036f]|://)"
)

# The quicker of the two engines does for this.
_SIGNED_WORD = re.compile(rf"(?<!\S)[^\s{_HASH_SIGNS}{_AT_SIGNS}]*+[{_HASH_SIGNS}{_AT_SIGNS}]\S*+")
_LABEL_PATTERN = regex.compile(r"[^.\s]\.(?=[^.\s])")
_MAX_LABELS = 16


def normalise_text(text: str) -> str:
    """The text as it is stored: in NFC and otherwise untouched, white space at its ends too."""
    return unicodedata.normalize("NFC", text)


def text_length(text: str) -> int:
    """How many characters the text counts: code points after NFC, a URL as long as it is."""
    return len(normalise_text(text))


def find_hashtags(text: str) -> list[TextSpan]:
    """Where the hashtags stand that are not part of a URL."""
    found = _scan_hashtags(text)
    return _outside_urls(_urls_with_signs(text), found) if found else found


def find_mentions(text: str) -> list[TextSpan]:
    """Where the mentions stand that are not part of a URL, whether or not such users exist."""
    found = _scan_mentions(text)
    return _outside_urls(_urls_with_signs(text), found) if found else found


def find_entities(text: str) -> TextEntities:
    """The names that `find_hashtags` and `find_mentions` find."""
    tags, names = _scan_hashtags(text), _scan_mentions(text)
    if tags or names:
        urls = _urls_with_signs(text)
        tags, names = _outside_urls(urls, tags), _outside_urls(urls, names)
    return TextEntities(tuple(tag.name for tag in tags), tuple(name.name for name in names))


def _scan_hashtags(text: str) -> list[TextSpan]:
    if _HASH_SIGNS[0] not in text and _HASH_SIGNS[1] not in text:
        return []
    return [TextSpan(hit["name"], *hit.span()) for hit in _HASHTAG_PATTERN.finditer(text)]


def _scan_mentions(text: str) -> list[TextSpan]:
    if _AT_SIGNS[0] not in text and _AT_SIGNS[1] not in text:
        return []
    return [
        TextSpan(hit["name"], *hit.span(), hit["slug"]) for hit in _MENTION_PATTERN.finditer(text)
    ]


def _urls_with_signs(text: str) -> list[tuple[int, int]]:
    """Where URLs stand that could hold a sign. A URL has a dot, no white space, and signs in it
    come after its scheme, path or query began: other words are not worth the slow search.
    """
    if "." not in text or ("/" not in text and "?" not in text):
        return []
    return [url for word in _SIGNED_WORD.finditer(text) for url in _urls_in(word[0], word.start())]


def _urls_in(word: str, at: int) -> Iterator[tuple[int, int]]:
    if "." not in word or ("/" not in word and "?" not in word):
        return
    # The search takes the square of the number of labels, 140 ms for 'a.a.a...' of 280
    # characters, and 2 ms at the bound: more than any real address has counts as one URL unseen.
    if len(_LABEL_PATTERN.findall(word)) > _MAX_LABELS:
        yield at, at + len(word)
        return
    for url in extract_urls_with_indices(word):
        start, end = url["indices"]
        yield at + start, at + end


def _outside_urls(urls: list[tuple[int, int]], spans: Iterable[TextSpan]) -> list[TextSpan]:
    return [s for s in spans if not any(start <= s.start < end for start, end in urls)]
