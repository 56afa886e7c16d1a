"""Filters as Mastodon's entities, and which of a reader's filters a post meets."""

from collections.abc import Iterable, Sequence
from typing import Any

from api.schemas import encode_json
from api.views.reader_filters import FilterMatch, ReaderFilter
from events.schema import FilterChanged, FilteredPost, FilterKeyword
from events.times import optional_rfc3339

NO_RESULTS = b"[]"


def filter_entity(values: FilterChanged) -> dict[str, Any]:
    """The entity `Filter`; its texts as written."""
    return _filter_alone(values) | {
        "keywords": [keyword_entity(one) for one in values.keywords],
        "statuses": [filtered_post_entity(one) for one in values.posts],
    }


def _filter_alone(values: FilterChanged) -> dict[str, Any]:
    return {
        "id": str(values.filter),
        "title": values.title,
        "context": values.contexts,
        "expires_at": optional_rfc3339(values.expires_at),
        "filter_action": values.action,
    }


def keyword_entity(keyword: FilterKeyword) -> dict[str, Any]:
    """The entity `FilterKeyword`."""
    return {"id": str(keyword.number), "keyword": keyword.text, "whole_word": keyword.whole_word}


def filtered_post_entity(post: FilteredPost) -> dict[str, Any]:
    """The entity `FilterStatus`."""
    return {"id": str(post.number), "status_id": post.post}


def phrase_entity(values: FilterChanged, keyword: FilterKeyword) -> dict[str, Any]:
    """The entity `V1::Filter`: a keyword of a filter."""
    return {
        "id": str(keyword.number),
        "phrase": keyword.text,
        "context": values.contexts,
        "whole_word": keyword.whole_word,
        "expires_at": optional_rfc3339(values.expires_at),
        "irreversible": values.action == "hide",
    }


def filter_results(filters: Sequence[ReaderFilter], post: int, texts: Iterable[str]) -> bytes:
    """The entities `FilterResult` of a post with these texts, as a JSON array."""
    text = "\n\n".join(filter(None, texts))
    folded = text.casefold()
    matches = [match for one in filters if (match := one.match(post, text, folded)) is not None]
    return encode_json([_result(one, post) for one in matches]) if matches else NO_RESULTS


def _result(match: FilterMatch, post: int) -> dict[str, Any]:
    return {
        "filter": _filter_alone(match.filter),
        "keyword_matches": [match.words] if match.words else None,
        "status_matches": [str(post)] if match.is_named else None,
    }
