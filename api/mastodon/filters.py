"""Filters: words and posts that a reader's program covers or leaves out."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from api.http.errors import RequestRefused
from api.http.request import Commander, Commands
from api.http.tokens import Reader
from api.mastodon.client_request import find_entry, require_visible, run_seen
from api.mastodon.entities import EmptyEntity, EntityResponse, entity
from api.mastodon.filter_entities import (
    FilterEntity,
    FilterKeywordEntity,
    FilterStatusEntity,
    filter_entity,
    filtered_post_entity,
    keyword_entity,
)
from api.mastodon.parameters import ClientParameters, Flag, OptionalText, Texts, example, reads
from api.state import ApiState, CurrentState
from commands.filters import (
    ChangeFilter,
    CreateFilter,
    DeleteFilter,
    KeywordChange,
    no_such_filter,
)
from events.ids.snowflake import parse_decimal
from events.schema import FilterChanged, FilteredPost, FilterKeyword

_VIEWS: Final = ("filters",)
_LONGEST_SECONDS: Final = 100 * 366 * 86_400

router = APIRouter(prefix="/api", tags=["mastodon"])

PathId = Annotated[str, Path(alias="id")]


class ExpiringValues(ClientParameters):
    """Where a filter holds, and for how many seconds from now; null and nothing mean for ever."""

    context: Annotated[
        Texts,
        Field(
            description="Where it holds, at least one of `home`, `notifications`, `public`, "
            "`thread`, `account`"
        ),
    ] = Field(default_factory=list)
    expires_in: Annotated[
        OptionalText, Field(description="After how many seconds it ends; empty or null, never")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _keep_null(cls, given: Any) -> Any:
        if isinstance(given, dict) and "expires_in" in given and given["expires_in"] is None:
            return given | {"expires_in": ""}
        return given

    @property
    def contexts(self) -> tuple[str, ...] | None:
        """Where it holds; None where nothing is said of it."""
        return tuple(self.context) if "context" in self.model_fields_set else None

    def expires_at(self, now_ms: int) -> int | None:
        """When it ends, in Unix ms, 0 for never; None where nothing is said of it. Raises
        `RequestRefused` (422).
        """
        if "expires_in" not in self.model_fields_set:
            return None
        if self.expires_in is None:
            return 0
        seconds = parse_decimal(self.expires_in)
        if seconds is None or seconds > _LONGEST_SECONDS:
            message = "Validation failed: `expires_in` is a number of seconds"
            raise RequestRefused(422, "invalid-body", message)
        return now_ms + seconds * 1000


class KeywordValues(ClientParameters):
    """A keyword to add, or one with its id to change or remove."""

    model_config = example(keyword="football", whole_word=True)

    id: Annotated[OptionalText, Field(description="Of the keyword to change; none to add one")] = (
        None
    )
    keyword: Annotated[OptionalText, Field(description="Words, as they stand in a text")] = None
    whole_word: Annotated[
        Flag,
        Field(
            description="Whether they have to stand between characters of no word: so unless false"
        ),
    ] = None
    destroyed: Annotated[Flag, Field(description="Whether to remove the keyword")] = Field(
        default=None, alias="_destroy"
    )

    @property
    def change(self) -> KeywordChange:
        """As the command has it."""
        number = None if self.id is None else parse_decimal(self.id) or 0
        return KeywordChange(self.keyword, self.whole_word, number, bool(self.destroyed))


class FilterValues(ExpiringValues):
    """The values of a filter."""

    model_config = example(
        title="Sports",
        context=["home", "public"],
        filter_action="warn",
        expires_in="86400",
        keywords_attributes=[{"keyword": "football", "whole_word": True}],
    )

    title: Annotated[OptionalText, Field(description="What it is called")] = None
    filter_action: Annotated[
        OptionalText, Field(description="`warn` or `hide`: what the client does with what meets it")
    ] = None
    keywords_attributes: Annotated[
        list[KeywordValues], Field(description="Keywords to add, change and remove")
    ] = Field(default_factory=list)

    @property
    def keywords(self) -> tuple[KeywordChange, ...]:
        """The keywords to change. Forms of clients hold empty lines."""
        return tuple(one.change for one in self.keywords_attributes if one.id or one.keyword)


class StatusToFilter(ClientParameters):
    """The status that a filter names."""

    status_id: Annotated[OptionalText, Field(description="A status")] = None


async def _find_filter(state: ApiState, reader: int, id: str) -> FilterChanged:
    for one in await state.reader_filters.all_of(reader):
        if str(one.filter) == id:
            return one
    raise no_such_filter(f"filter {id[:40]}")


async def find_keyword(
    state: ApiState, reader: int, id: str
) -> tuple[FilterChanged, FilterKeyword]:
    """A keyword of a reader's, and its filter. Raises `NotFound`."""
    for one in await state.reader_filters.all_of(reader):
        for keyword in one.keywords:
            if str(keyword.number) == id:
                return one, keyword
    raise no_such_filter(f"keyword {id[:40]}")


async def _find_filtered_post(
    state: ApiState, reader: int, id: str
) -> tuple[FilterChanged, FilteredPost]:
    for one in await state.reader_filters.all_of(reader):
        for post in one.posts:
            if str(post.number) == id:
                return one, post
    raise no_such_filter(f"filtered post {id[:40]}")


async def run_change(
    state: ApiState, commands: Commander, command: CreateFilter | ChangeFilter
) -> FilterChanged:
    """Run a command, and give the filter as it is then. Its idempotency key is ignored."""
    # The time at which a filter ends differs from one try to the next, so no key would hold.
    each = Commander(state, commands.actor, None)
    outcome = await run_seen(state, each, command, views=_VIEWS)
    for write in outcome.writes:
        for _, event in write.events:
            if isinstance(event, FilterChanged):
                return event
    return await _find_filter(state, commands.actor, str(outcome.id))


async def delete_own(state: ApiState, commands: Commander, id: int) -> EntityResponse[EmptyEntity]:
    """Delete a filter."""
    each = Commander(state, commands.actor, None)
    await run_seen(state, each, DeleteFilter(id), views=_VIEWS)
    return entity({})


@router.get("/v2/filters")
async def list_filters(reader: Reader, state: CurrentState) -> EntityResponse[list[FilterEntity]]:
    """One's filters: entities `Filter`."""
    return entity([filter_entity(one) for one in await state.reader_filters.all_of(reader)])


@router.post("/v2/filters")
async def create_filter(
    commands: Commands, state: CurrentState, new: Annotated[FilterValues, reads(FilterValues)]
) -> EntityResponse[FilterEntity]:
    """Make a filter."""
    command = CreateFilter(
        new.title or "",
        new.contexts or (),
        new.filter_action or "warn",
        new.expires_at(state.ports.clock_ms()) or 0,
        new.keywords,
    )
    return entity(filter_entity(await run_change(state, commands, command)))


@router.get("/v2/filters/{id}")
async def get_filter(
    id: PathId, reader: Reader, state: CurrentState
) -> EntityResponse[FilterEntity]:
    """One of one's filters."""
    return entity(filter_entity(await _find_filter(state, reader, id)))


@router.put("/v2/filters/{id}")
async def change_filter(
    commands: Commands,
    id: PathId,
    state: CurrentState,
    new: Annotated[FilterValues, reads(FilterValues)],
) -> EntityResponse[FilterEntity]:
    """Change a filter and its keywords; what is absent stays as it was."""
    command = ChangeFilter(
        parse_decimal(id) or 0,
        new.title,
        new.contexts,
        new.filter_action,
        new.expires_at(state.ports.clock_ms()),
        new.keywords,
    )
    return entity(filter_entity(await run_change(state, commands, command)))


@router.delete("/v2/filters/{id}")
async def delete_filter(
    commands: Commands, id: PathId, state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Delete a filter."""
    return await delete_own(state, commands, parse_decimal(id) or 0)


@router.get("/v2/filters/{id}/keywords")
async def list_keywords(
    id: PathId, reader: Reader, state: CurrentState
) -> EntityResponse[list[FilterKeywordEntity]]:
    """The keywords of a filter: entities `FilterKeyword`."""
    found = await _find_filter(state, reader, id)
    return entity([keyword_entity(one) for one in found.keywords])


@router.post("/v2/filters/{id}/keywords")
async def add_keyword(
    commands: Commands,
    id: PathId,
    state: CurrentState,
    new: Annotated[KeywordValues, reads(KeywordValues)],
) -> EntityResponse[FilterKeywordEntity]:
    """Add a keyword to a filter."""
    change = KeywordChange(new.keyword, new.whole_word)
    made = await run_change(
        state, commands, ChangeFilter(parse_decimal(id) or 0, keywords=(change,))
    )
    return entity(keyword_entity(made.keywords[-1]))


@router.get("/v2/filters/keywords/{id}")
async def get_keyword(
    id: PathId, reader: Reader, state: CurrentState
) -> EntityResponse[FilterKeywordEntity]:
    """A keyword."""
    _, keyword = await find_keyword(state, reader, id)
    return entity(keyword_entity(keyword))


@router.put("/v2/filters/keywords/{id}")
async def change_keyword(
    commands: Commands,
    id: PathId,
    state: CurrentState,
    new: Annotated[KeywordValues, reads(KeywordValues)],
) -> EntityResponse[FilterKeywordEntity]:
    """Change a keyword; what is absent stays as it was."""
    found, keyword = await find_keyword(state, commands.actor, id)
    change = KeywordChange(new.keyword, new.whole_word, keyword.number)
    made = await run_change(state, commands, ChangeFilter(found.filter, keywords=(change,)))
    return entity(keyword_entity(numbered(made.keywords, keyword.number)))


def numbered(keywords: Iterable[FilterKeyword], number: int) -> FilterKeyword:
    """The keyword with a number."""
    return next(one for one in keywords if one.number == number)


@router.delete("/v2/filters/keywords/{id}")
async def remove_keyword(
    commands: Commands, id: PathId, state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Take a keyword out of its filter."""
    found, keyword = await find_keyword(state, commands.actor, id)
    await remove_from(state, commands, found, keyword)
    return entity({})


async def remove_from(
    state: ApiState, commands: Commander, found: FilterChanged, keyword: FilterKeyword
) -> None:
    """Take a keyword out of its filter."""
    change = KeywordChange(number=keyword.number, removed=True)
    await run_change(state, commands, ChangeFilter(found.filter, keywords=(change,)))


@router.get("/v2/filters/{id}/statuses")
async def list_filtered_posts(
    id: PathId, reader: Reader, state: CurrentState
) -> EntityResponse[list[FilterStatusEntity]]:
    """The statuses that a filter names: entities `FilterStatus`."""
    found = await _find_filter(state, reader, id)
    return entity([filtered_post_entity(one) for one in found.posts])


@router.post("/v2/filters/{id}/statuses")
async def filter_post(
    commands: Commands,
    id: PathId,
    state: CurrentState,
    new: Annotated[StatusToFilter, reads(StatusToFilter)],
) -> EntityResponse[FilterStatusEntity]:
    """Have a filter name a status."""
    post = (await find_entry(new.status_id or "", state)).post
    await require_visible(post, commands.actor, state)
    command = ChangeFilter(parse_decimal(id) or 0, filter_post=post)
    made = await run_change(state, commands, command)
    return entity(next(filtered_post_entity(one) for one in made.posts if one.post == str(post)))


@router.get("/v2/filters/statuses/{id}")
async def get_filtered_post(
    id: PathId, reader: Reader, state: CurrentState
) -> EntityResponse[FilterStatusEntity]:
    """A status that a filter names."""
    _, post = await _find_filtered_post(state, reader, id)
    return entity(filtered_post_entity(post))


@router.delete("/v2/filters/statuses/{id}")
async def unfilter_post(
    commands: Commands, id: PathId, state: CurrentState
) -> EntityResponse[FilterStatusEntity]:
    """Have a filter name a status no more; the answer is the entity that is gone."""
    found, post = await _find_filtered_post(state, commands.actor, id)
    await run_change(state, commands, ChangeFilter(found.filter, unfilter=(post.number,)))
    return entity(filtered_post_entity(post))
