"""Filters as Mastodon's entities, and which of a reader's filters a post meets."""

from collections.abc import Iterable, Sequence
from typing import Annotated, TypedDict

from msgspec import Meta

from api.mastodon.entities import Id, Time, about
from api.schemas import encode_json
from api.views.reader_filters import FilterMatch, ReaderFilter
from commands.filters import FILTER_ACTIONS, FILTER_CONTEXTS
from events.schema import FilterChanged, FilteredPost, FilterKeyword
from events.times import optional_rfc3339

NO_RESULTS = b"[]"

_Contexts = Annotated[
    Sequence[Annotated[str, Meta(extra_json_schema={"enum": list(FILTER_CONTEXTS)})]],
    about("Where the client applies it"),
]
_FilterEnd = Annotated[Time | None, about("When it ends by itself; null for never")]
_WholeWord = Annotated[bool, about("Whether it has to stand between characters of no word")]


class FilterKeywordEntity(TypedDict):
    """Words of a filter, as written."""

    id: Annotated[Id, about("Its user's own, and short")]
    keyword: str
    whole_word: _WholeWord


class FilterStatusEntity(TypedDict):
    """A status that a filter names."""

    id: Annotated[Id, about("Its user's own, and short")]
    status_id: Id


class PlainFilterEntity(TypedDict):
    """A filter without its keywords and statuses."""

    id: Id
    title: str
    context: _Contexts
    expires_at: _FilterEnd
    filter_action: Annotated[
        str,
        Meta(
            description="What the client does: show the title first, or nothing at all",
            extra_json_schema={"enum": list(FILTER_ACTIONS)},
        ),
    ]


class FilterEntity(PlainFilterEntity):
    """A filter. The server marks what meets it; the client acts on that."""

    keywords: list[FilterKeywordEntity]
    statuses: list[FilterStatusEntity]


class FilterResultEntity(TypedDict):
    """A filter that a status meets."""

    filter: PlainFilterEntity
    keyword_matches: Annotated[list[str] | None, about("The words found; null where none was")]
    status_matches: Annotated[list[Id] | None, about("The status, where the filter names it")]


class V1FilterEntity(TypedDict):
    """A keyword with what its filter says: a filter of the first version of the API."""

    id: Annotated[Id, about("Of the keyword")]
    phrase: str
    context: _Contexts
    whole_word: _WholeWord
    expires_at: _FilterEnd
    irreversible: Annotated[bool, about("Whether the filter's action is `hide`")]


def filter_entity(values: FilterChanged) -> FilterEntity:
    """The entity `Filter`; its texts as written."""
    return {
        **_filter_alone(values),
        "keywords": [keyword_entity(one) for one in values.keywords],
        "statuses": [filtered_post_entity(one) for one in values.posts],
    }


def _filter_alone(values: FilterChanged) -> PlainFilterEntity:
    return {
        "id": str(values.filter),
        "title": values.title,
        "context": values.contexts,
        "expires_at": optional_rfc3339(values.expires_at),
        "filter_action": values.action,
    }


def keyword_entity(keyword: FilterKeyword) -> FilterKeywordEntity:
    """The entity `FilterKeyword`."""
    return {"id": str(keyword.number), "keyword": keyword.text, "whole_word": keyword.whole_word}


def filtered_post_entity(post: FilteredPost) -> FilterStatusEntity:
    """The entity `FilterStatus`."""
    return {"id": str(post.number), "status_id": post.post}


def phrase_entity(values: FilterChanged, keyword: FilterKeyword) -> V1FilterEntity:
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


def _result(match: FilterMatch, post: int) -> FilterResultEntity:
    return {
        "filter": _filter_alone(match.filter),
        "keyword_matches": [match.words] if match.words else None,
        "status_matches": [str(post)] if match.is_named else None,
    }
