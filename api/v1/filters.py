"""`/v1/filters`: words and posts that a user wants covered or left out.

The Mastodon API has the same filters, and marks posts. In `/v1` the reader's program compares.
"""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field, TypeAdapter

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import problems
from api.http.request import (
    QUERY_PROBLEMS,
    Commander,
    Commands,
    command_problems,
    fresh_views,
    json_response,
    position_header,
)
from api.http.route import ApiRoute
from api.http.tokens import Reader, requires_scope
from api.schemas import ApiModel, Done, Id, Time
from api.state import ApiState, CurrentState
from commands.event_filter_parser import checked_time
from commands.filters import (
    FILTERS_STATE,
    ChangeFilter,
    CreateFilter,
    DeleteFilter,
    KeywordChange,
    no_such_filter,
)
from commands.stream_reader import read_state
from events.ids.snowflake import parse_decimal
from events.schema import FilterChanged
from events.sealed_text import map_texts
from events.streams import filters_stream
from events.times import optional_rfc3339

router = APIRouter(route_class=ApiRoute, prefix="/v1/filters", tags=["filters"])

FilterContext = Literal["home", "notifications", "public", "thread", "account"]
FilterAction = Literal["warn", "hide"]
Title = Annotated[str, Field(examples=["Films"])]
Contexts = Annotated[list[FilterContext], Field(min_length=1, examples=[["home", "public"]])]
Action = Annotated[
    FilterAction, Field(description="cover the post, or leave it out", examples=["warn"])
]
EndTime = Annotated[
    str | None,
    Field(description="RFC 3339, or an id; null for never", examples=["2027-01-01T00:00:00Z"]),
]
FilterId = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9]{1,19}$"})]


class NewKeyword(ApiModel):
    """Words that a filter looks for, alone or within longer ones."""

    text: Annotated[str, Field(examples=["spoiler"])]
    whole_word: Annotated[bool, Field(examples=[True])] = True


class KeptKeyword(NewKeyword):
    """A keyword from now on: with its `id` one that is there already."""

    id: Annotated[str | None, Field(pattern="^[0-9]{1,19}$", examples=["1"])] = None


class NewFilter(ApiModel):
    """A filter: what it looks for, and where."""

    title: Title
    contexts: Contexts
    action: Action = "warn"
    expires_at: EndTime = None
    keywords: Annotated[
        list[NewKeyword], Field(default_factory=list, examples=[[{"text": "spoiler"}]])
    ]


class FilterPatch(ApiModel):
    """What to change of a filter; what is left out stays as it is.

    `keywords` are all that it has from then on: those that aren't named are removed.
    """

    title: Title | None = None
    contexts: Contexts | None = None
    action: Action | None = None
    expires_at: EndTime = None
    keywords: Annotated[
        list[KeptKeyword] | None, Field(examples=[[{"id": "1", "text": "the end"}]])
    ] = None


class ShownKeyword(ApiModel):
    """A keyword of a filter; its `id` is the filter's owner's alone."""

    id: Id
    text: str
    whole_word: bool


class ShownFilter(ApiModel):
    """A filter. One that has expired is kept, and holds no more."""

    id: Id
    title: str
    contexts: list[FilterContext]
    action: FilterAction
    expires_at: Time | None = None
    keywords: list[ShownKeyword]
    posts: Annotated[list[Id], Field(description="posts that it names, whatever they say")]


_FILTERS: Final = TypeAdapter(list[ShownFilter])
_READING: Final = [requires_scope(USER_SCOPE), fresh_views("filters")]


@router.get(
    "",
    response_model=list[ShownFilter],
    responses=QUERY_PROBLEMS | problems(403),
    dependencies=_READING,
)
async def list_filters(reader: Reader, state: CurrentState) -> Response:
    """One's filters, the oldest first."""
    found = [_shown(one) for one in await state.reader_filters.all_of(reader)]
    return json_response(_FILTERS.dump_json(found, exclude_none=True))


@router.post(
    "", status_code=201, response_model=ShownFilter, responses=command_problems(success=201)
)
async def create_filter(new: NewFilter, commands: Commands, state: CurrentState) -> Response:
    """Make a filter."""
    keywords = tuple(KeywordChange(one.text, one.whole_word) for one in new.keywords)
    command = CreateFilter(
        new.title, tuple(new.contexts), new.action, _ends_at(new.expires_at), keywords
    )
    return await _changed(state, commands, command, 201)


@router.get(
    "/{id}",
    response_model=ShownFilter,
    responses=QUERY_PROBLEMS | problems(403, 404),
    dependencies=_READING,
)
async def get_filter(id: FilterId, reader: Reader, state: CurrentState) -> Response:
    """A filter of one's own."""
    for one in await state.reader_filters.all_of(reader):
        if str(one.filter) == id:
            return json_response(_shown(one))
    raise no_such_filter(f"filter {id[:40]}")


@router.patch("/{id}", response_model=ShownFilter, responses=command_problems(404))
async def change_filter(
    commands: Commands, id: FilterId, patch: FilterPatch, state: CurrentState
) -> Response:
    """Change a filter, and its keywords."""
    stored = await _stored_filter(state, commands.actor, parse_decimal(id) or 0)
    ends_at = _ends_at(patch.expires_at) if "expires_at" in patch.model_fields_set else None
    command = ChangeFilter(
        stored.filter,
        patch.title,
        None if patch.contexts is None else tuple(patch.contexts),
        patch.action,
        ends_at,
        () if patch.keywords is None else _keyword_changes(stored, patch.keywords),
    )
    return await _changed(state, commands, command)


@router.delete("/{id}", response_model=Done, responses=command_problems(404))
async def delete_filter(commands: Commands, id: FilterId) -> Response:
    """Delete a filter."""
    outcome = await commands.run(DeleteFilter(parse_decimal(id) or 0))
    return json_response(Done(id=str(outcome.id), deleted=True), headers=position_header(outcome))


def _ends_at(time: str | None) -> int:
    return 0 if time is None else checked_time(time)


def _keyword_changes(stored: FilterChanged, wanted: list[KeptKeyword]) -> tuple[KeywordChange, ...]:
    """What makes a filter's keywords the wanted ones."""
    changes = [
        KeywordChange(one.text, one.whole_word, None if one.id is None else int(one.id))
        for one in wanted
    ]
    kept = {one.number for one in changes}
    gone = [one.number for one in stored.keywords if one.number not in kept]
    return (*(KeywordChange(number=number, removed=True) for number in gone), *changes)


async def _stored_filter(state: ApiState, user: int, id: int) -> FilterChanged:
    """As the log has it, however far the views are. Raises `NotFound`."""
    found = await read_state(state.ports.log, filters_stream(user), FILTERS_STATE)
    if id not in found.filters:
        raise no_such_filter(f"filter {id}")
    return found.filters[id]


async def _changed(
    state: ApiState, commands: Commander, command: CreateFilter | ChangeFilter, status: int = 200
) -> Response:
    outcome = await commands.run(command)
    stored = await _stored_filter(state, commands.actor, outcome.id)
    shown = _shown(map_texts(stored, state.ports.open_text))
    return json_response(shown, status, position_header(outcome))


def _shown(values: FilterChanged) -> ShownFilter:
    """A filter, its texts as written."""
    keywords = [
        ShownKeyword(id=str(one.number), text=one.text, whole_word=one.whole_word)
        for one in values.keywords
    ]
    shown = {
        "id": str(values.filter),
        "title": values.title,
        "contexts": values.contexts,
        "action": values.action,
        "expires_at": optional_rfc3339(values.expires_at),
        "keywords": keywords,
        "posts": [one.post for one in values.posts],
    }
    return ShownFilter.model_validate(shown)
