"""Filters as the first version of the API has them: keywords, each with what its filter says."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.http.errors import RequestRefused
from api.http.request import Commands
from api.http.tokens import Reader
from api.mastodon.entities import EmptyEntity, EntityResponse, entity
from api.mastodon.filter_entities import V1FilterEntity, phrase_entity
from api.mastodon.filters import (
    ExpiringValues,
    PathId,
    delete_own,
    find_keyword,
    numbered,
    remove_from,
    run_change,
)
from api.mastodon.parameters import Flag, OptionalText, example, reads
from api.state import CurrentState
from commands.filters import ChangeFilter, CreateFilter, KeywordChange
from events.schema import FilterChanged

router = APIRouter(prefix="/api/v1/filters", tags=["mastodon"])


class PhraseValues(ExpiringValues):
    """The values of a filter of the first version."""

    model_config = example(phrase="football", context=["home"], whole_word=True)

    phrase: Annotated[OptionalText, Field(description="Words, as they stand in a text")] = None
    irreversible: Annotated[
        Flag, Field(description="Whether the client shows nothing at all of what meets it")
    ] = None
    whole_word: Annotated[
        Flag, Field(description="Whether they have to stand between characters of no word")
    ] = None

    @property
    def action(self) -> str | None:
        """What is done with a post that meets it; None where nothing is said of it."""
        if self.irreversible is None:
            return None
        return "hide" if self.irreversible else "warn"


@router.get("")
async def list_phrases(reader: Reader, state: CurrentState) -> EntityResponse[list[V1FilterEntity]]:
    """The keywords of one's filters: entities `V1::Filter`."""
    found = await state.reader_filters.all_of(reader)
    return entity([phrase_entity(one, keyword) for one in found for keyword in one.keywords])


@router.post("")
async def create_phrase(
    commands: Commands, state: CurrentState, new: Annotated[PhraseValues, reads(PhraseValues)]
) -> EntityResponse[V1FilterEntity]:
    """Make a filter with one keyword, which is also its title."""
    phrase = new.phrase or ""
    command = CreateFilter(
        phrase,
        new.contexts or (),
        new.action or "warn",
        new.expires_at(state.ports.clock_ms()) or 0,
        (KeywordChange(phrase, new.whole_word),),
    )
    made = await run_change(state, commands, command)
    return entity(phrase_entity(made, made.keywords[0]))


@router.get("/{id}")
async def get_phrase(
    id: PathId, reader: Reader, state: CurrentState
) -> EntityResponse[V1FilterEntity]:
    """A keyword of one's filters."""
    return entity(phrase_entity(*await find_keyword(state, reader, id)))


@router.put("/{id}")
async def change_phrase(
    commands: Commands,
    id: PathId,
    state: CurrentState,
    new: Annotated[PhraseValues, reads(PhraseValues)],
) -> EntityResponse[V1FilterEntity]:
    """Change a keyword and its filter; of a filter with more than it, the keyword alone."""
    found, keyword = await find_keyword(state, commands.actor, id)
    expires_at = new.expires_at(state.ports.clock_ms())
    alone = len(found.keywords) == 1
    if not alone and not _says_the_same(found, new.contexts, new.action, expires_at):
        message = "Validation failed: this filter has several keywords: change it over version 2"
        raise RequestRefused(422, "invalid-body", message)
    command = ChangeFilter(
        found.filter,
        new.phrase if alone else None,
        new.contexts if alone else None,
        new.action if alone else None,
        expires_at if alone else None,
        (KeywordChange(new.phrase, new.whole_word, keyword.number),),
    )
    made = await run_change(state, commands, command)
    return entity(phrase_entity(made, numbered(made.keywords, keyword.number)))


def _says_the_same(
    found: FilterChanged, contexts: Sequence[str] | None, action: str | None, expires_at: int | None
) -> bool:
    return (
        (contexts is None or set(contexts) == set(found.contexts))
        and action in (None, found.action)
        and expires_at in (None, found.expires_at)
    )


@router.delete("/{id}")
async def delete_phrase(
    commands: Commands, id: PathId, state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Take a keyword out of its filter; with the last one the filter goes, too."""
    found, keyword = await find_keyword(state, commands.actor, id)
    if len(found.keywords) == 1 and not found.posts:
        return await delete_own(state, commands, found.filter)
    await remove_from(state, commands, found, keyword)
    return entity({})
