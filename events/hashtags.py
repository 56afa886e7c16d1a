"""Folding hashtags: which ways of writing one are the same."""

import unicodedata


def fold_hashtag(tag: str) -> str:
    """The form under which a hashtag is looked up and counted: `Straße` and `STRASSE` are one.

    NFKC and case folding, since half and full width, ligatures and letters of mathematics are how
    a word is typed and not what it says. Two of their results are corrected, so that a folded tag
    is always a tag itself: the fullwidth tilde becomes the wave dash that it is confused with, not
    an ASCII tilde, and the spaces that a few ligatures and voiced sound marks leave are removed.
    The joiners stay: in Persian they distinguish words.
    """
    if tag.isascii():
        return tag.lower()
    wide = unicodedata.normalize("NFKC", tag.replace("\uff5e", "\u301c")).casefold()
    return unicodedata.normalize("NFKC", wide).replace(" ", "")
