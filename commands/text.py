"""What a post's text says: its length, its links, hashtags and mentions.

The rules of hashtags and mentions are those of twitter-text (github.com/twitter/twitter-text), held
by its conformance cases in tests/real; linkify-it finds the URLs. We depart from them where users
differ: a mention names a possible handle, so it has 2-30 characters and a longer run is none (there
1-20, and a longer run is cut); it is never part of a URL; and there are no lists, so that
`@anna/friends` mentions anna.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import regex
from linkify_it import LinkifyIt

MAX_TEXT_LENGTH = 280
"""The most characters that a post may have, as `text_length` counts them; the fewest are 1."""

MAX_TEXT_BYTES = 8192
"""The most bytes of UTF-8 that a post may take, whatever they count."""

LINK_LENGTH = 23
"""What a link counts, however long it is: the convention of Twitter and Mastodon."""


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

# In full width, a sign after the scheme begins a host, as no browser makes a fragment of it.
_NO_HOST = r"(?<!(?i:https?)://(?=[\uff03\uff20]))"

# Variation selectors are marks, yet after one (an emoji ends there) a tag may begin; before one,
# or before the keycap U+20E3, the sign is part of an emoji. Everything after the sign is
# possessive: 'http' in '#http://' must not shrink to a shorter tag that would be allowed.
_HASHTAG_PATTERN = regex.compile(
    rf"(?V1)(?<![[{_HASHTAG_CHARACTERS}&]--[\ufe0e\ufe0f]]){_NO_HOST}[{_HASH_SIGNS}]"
    rf"(?![\ufe0f\u20e3])(?=[{_HASHTAG_NON_LETTERS}]*+[\p{{L}}\p{{M}}])"
    rf"(?P<name>[{_HASHTAG_CHARACTERS}]++)(?![{_HASH_SIGNS}]|://)"
)

# Before the sign: nothing that makes it an email address or a word of its own, or RT. After the
# name: no accented Latin letter, as the name would be a word cut short.
_MENTION_PATTERN = regex.compile(
    rf"(?V1)(?:(?<![A-Za-z0-9_!#$%&*{_AT_SIGNS}])|(?<=(?<![A-Za-z0-9_+~.\-])[Rr][Tt]))"
    rf"{_NO_HOST}[{_AT_SIGNS}]"
    r"(?P<name>[A-Za-z0-9_]{2,30}+)(?![A-Za-z0-9_])(?P<slug>(?:/[A-Za-z][A-Za-z0-9_\-]{0,24}+)?+)"
    rf"(?![{_AT_SIGNS}]|[[\p{{Latin}}&&[\xc0-\u02af\u1e00-\u1eff]]\u02bb\u0300-\u036f]|://)"
)

# The quicker of the two engines does for this.
_SIGNED_WORD = re.compile(rf"(?<!\S)[^\s{_HASH_SIGNS}{_AT_SIGNS}]*+[{_HASH_SIGNS}{_AT_SIGNS}]\S*+")

# Addresses of mail aren't links. The patterns are compiled at the first search, in some 100 ms.
_URL_FINDER = LinkifyIt({"mailto:": None}, {"fuzzy_email": False})

# How often each of them may stand in a word that is searched for URLs: between labels, before a
# host, and before a label in Punycode. The search takes twice as long for each of the latter, half
# a second for sixteen, and the square of the others.
_COSTLY_PARTS = (
    (re.compile(r"[^.\s]\.(?=[^.\s])"), 16),
    (re.compile(r"//"), 8),
    (re.compile(r"xn--", re.IGNORECASE), 4),
)
_PUNYCODE_PREFIX = _COSTLY_PARTS[2][0]

_LINK_START = regex.compile(r"(?<![A-Za-z0-9_@#$])https?:(?=//)", regex.IGNORECASE)
_GRAPHEME_CLUSTER = regex.compile(r"\X")

_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# What has no shape: white space, control characters, what fonts ignore by default (joiners, marks
# of direction, variation selectors, Hangul fillers, tags), annotation marks, and the blanks of
# Braille, Khitan and musical notation.
_INVISIBLE = regex.compile(
    r"[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}\p{Bidi_Control}"
    r"\ufff9-\ufffb\u2800\U00016fe4\U0001d159]*"
)


def normalise_text(text: str) -> str:
    """The text as it is stored: in NFC, its lines ended by `\\n` alone, and otherwise untouched,
    white space at its ends too.

    It takes the square of the number of marks on one character: bound its length before.
    """
    if "\r" in text:  # forms end lines with two characters
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text)


def normalise_bounded(text: str, most: int) -> str:
    """As `normalise_text` and without white space around it, if it can have `most` characters then;
    a longer one keeps its characters. Four characters become one at most.
    """
    text = text.strip()
    return normalise_text(text).strip() if len(text) <= 4 * most else text


def text_length(text: str) -> int:
    """How many characters the text counts after NFC: grapheme clusters, and 23 for each link.

    A link begins with http:// or https://. Those after the thirteenth count in full, as the text is
    too long with thirteen: a search for more would be for nothing.
    """
    text = normalise_text(text)
    if text.isascii() and "://" not in text:
        return len(text)
    links = list(islice(_find_links(text), MAX_TEXT_LENGTH // LINK_LENGTH + 1))
    starts, ends = [start for start, _ in links], [end for _, end in links]
    between = zip([0, *ends], [*starts, len(text)], strict=True)
    clusters = sum(len(_GRAPHEME_CLUSTER.findall(text, start, end)) for start, end in between)
    return clusters + LINK_LENGTH * len(links)


def has_control_characters(text: str) -> bool:
    """Whether there are any but tabs and ends of lines."""
    return _CONTROL_BUT_LINES.search(text) is not None


def is_invisible(text: str) -> bool:
    """Whether the text shows nothing: it is empty, or blanks, joiners, fillers and controls."""
    return _INVISIBLE.fullmatch(text) is not None


def find_links(text: str) -> list[tuple[int, int]]:
    """Where the links stand that begin with http:// or https://: starts and ends, in order."""
    return list(_find_links(text)) if "://" in text else []


def _find_links(text: str) -> Iterator[tuple[int, int]]:
    # Of the same length, and searched in one way instead of two a label.
    text = _PUNYCODE_PREFIX.sub("xn00", text)
    end = 0
    for hit in _LINK_START.finditer(text):
        if hit.start() >= end:
            length = _URL_FINDER.test_schema_at(text, "http:", hit.end())
            if length:
                end = hit.end() + length
                yield hit.start(), end


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
    # More than any real address has: it counts as one URL, unseen.
    if any(len(part.findall(word)) > most for part, most in _COSTLY_PARTS):
        yield at, at + len(word)
        return
    for url in _URL_FINDER.match(word) or ():
        yield at + url.index, at + url.last_index


def _outside_urls(urls: list[tuple[int, int]], spans: Iterable[TextSpan]) -> list[TextSpan]:
    return [s for s in spans if not any(start <= s.start < end for start, end in urls)]
