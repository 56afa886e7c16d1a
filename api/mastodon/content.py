"""The text of a post, or of a bio, as HTML: paragraphs, links, mentions and hashtags.

The classes and the order of elements are Mastodon's: its clients look for them to open a profile or
a hashtag inside the app. What is no link of ours is escaped text.
"""

import re
from collections.abc import Collection
from html import escape
from typing import Final

from commands.text import find_hashtags, find_links, find_mentions
from events.hashtags import fold_hashtag

_LONGEST_SHOWN: Final = 30
"""Characters of a link that are shown; the rest stands there for those who copy it."""

_SCHEME: Final = re.compile(r"https?://(?:www\.)?", re.IGNORECASE)
_PARAGRAPHS: Final = re.compile(r"\n{2,}")


def profile_url(base_url: str, handle: str) -> str:
    """The page of a user."""
    return f"{base_url}/@{handle}"


def post_url(base_url: str, handle: str, post: int) -> str:
    """The page of a post."""
    return f"{base_url}/@{handle}/{post}"


def hashtag_url(base_url: str, tag: str) -> str:
    """The page of a hashtag, which is folded."""
    return f"{base_url}/tags/{tag}"


def without_own_domain(text: str, base_url: str) -> str:
    """The text with `@bob` for `@bob@our.domain`, as clients write who is on their own server."""
    domain = re.escape(base_url.partition("://")[2])
    return re.sub(rf"(@[A-Za-z0-9_]{{2,30}})@{domain}(?![\w.:-]*\w)", r"\1", text, flags=re.I)


def content_html(text: str, known_handles: Collection[str], base_url: str) -> str:
    """The text as HTML. Mentions link to the users of `known_handles` (folded) alone."""
    return _paragraphs(line_html(text, known_handles, base_url))


def line_html(text: str, known_handles: Collection[str], base_url: str) -> str:
    """The same of a text that is one line, without a paragraph around it."""
    pieces: list[tuple[int, int, str]] = [
        (start, end, _link(text[start:end])) for start, end in find_links(text)
    ]
    pieces += [(s.start, s.end, _hashtag(s.name, base_url)) for s in find_hashtags(text)]
    for mention in find_mentions(text):
        handle = mention.name.lower()
        if handle in known_handles:
            end = mention.start + 1 + len(mention.name)
            pieces.append((mention.start, end, _mention(mention.name, handle, base_url)))
    html, at = [], 0
    for start, end, piece in sorted(pieces):
        if start >= at:
            html += [escape(text[at:start]), piece]
            at = end
    html.append(escape(text[at:]))
    return "".join(html)


def _paragraphs(html: str) -> str:
    normal = html.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not normal:
        return ""
    parts = (part.replace("\n", "<br />") for part in _PARAGRAPHS.split(normal))
    return "".join(f"<p>{part}</p>" for part in parts)


def _hashtag(name: str, base_url: str) -> str:
    url = escape(hashtag_url(base_url, fold_hashtag(name)))
    return f'<a href="{url}" class="mention hashtag" rel="tag">#<span>{escape(name)}</span></a>'


def _mention(name: str, handle: str, base_url: str) -> str:
    url = escape(profile_url(base_url, handle))
    return (
        f'<span class="h-card"><a href="{url}" class="u-url mention">'
        f"@<span>{escape(name)}</span></a></span>"
    )


def _link(url: str) -> str:
    scheme = _SCHEME.match(url)
    begin = scheme.end() if scheme else 0
    shown, hidden = url[begin : begin + _LONGEST_SHOWN], url[begin + _LONGEST_SHOWN :]
    cut = "ellipsis" if hidden else ""
    return (
        f'<a href="{escape(url)}" rel="nofollow noopener noreferrer" target="_blank">'
        f'<span class="invisible">{escape(url[:begin])}</span>'
        f'<span class="{cut}">{escape(shown)}</span>'
        f'<span class="invisible">{escape(hidden)}</span></a>'
    )
