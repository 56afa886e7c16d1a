"""Text from outside, made harmless for terminals: what a terminal would obey is shown as an escape.

Names, posts and error messages that repeat them may hold escape sequences (a title, a link, a
colour, a cleared screen), C1 controls and marks that turn the direction of a line. They are written
as JSON writes them (`\\u001b`), so that a line of JSON stays the same value.
"""

import re
from typing import Final

_OBEYED: Final = re.compile(
    # C0 but the tab and the line feed, DEL and C1, marks of direction, separators of lines, what
    # hides text (soft hyphen, zero width, tags), and halves of surrogate pairs.
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape_controls(text: str) -> str:
    """The text with `\\uXXXX` for what a terminal would obey. Lines stay lines."""
    return _OBEYED.sub(_escape, text)


def on_one_line(text: str) -> str:
    """As `escape_controls`, line feeds too: what is one record must not look like two."""
    return escape_controls(text).replace("\n", "\\n")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000  # as JSON, in two halves
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
