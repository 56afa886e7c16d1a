"""Filters: words and posts that a user wants covered or left out. No other user sees them.

All of a user's filters are one stream, so that a decision knows how many there are: what a reader
filters is compared with every post that the reader sees. The server says which posts match, and
the reader's program covers them.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from commands import rules, text
from commands.decider import (
    NO_EVENTS,
    Aggregate,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
)
from commands.errors import InvalidInput, NotFound
from events import streams
from events.schema import Event, FilterChanged, FilterDeleted, FilteredPost, FilterKeyword
from events.sealed_text import map_texts

FILTER_CONTEXTS: Final = ("home", "notifications", "public", "thread", "account")
FILTER_ACTIONS: Final = ("warn", "hide")
MAX_FILTERS: Final = 100
MAX_ENTRIES: Final = 500
"""Keywords and posts of all of a user's filters together."""
MAX_WORDS_LENGTH: Final = 200
"""Characters of a title or a keyword."""


class KeywordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A keyword to add, or (with its `number`) to change or remove; None leaves what there is."""

    text: str | None = None
    whole_word: bool | None = None
    number: int | None = None
    removed: bool = False


class CreateFilter(Command, frozen=True):
    """Make a filter. `expires_at` is in Unix ms, 0 for never."""

    title: str
    contexts: tuple[str, ...]
    action: str = "warn"
    expires_at: int = 0
    keywords: tuple[KeywordChange, ...] = ()


class ChangeFilter(Command, frozen=True):
    """Change one's own filter; None leaves a value as it is.

    `unfilter` are numbers of filtered posts.
    """

    filter: int
    title: str | None = None
    contexts: tuple[str, ...] | None = None
    action: str | None = None
    expires_at: int | None = None
    keywords: tuple[KeywordChange, ...] = ()
    filter_post: int | None = None
    unfilter: tuple[int, ...] = ()


class DeleteFilter(Command, frozen=True):
    """Delete one's own filter."""

    filter: int


class FiltersState(NamedTuple):
    """A user's filters, and the highest number that one of their keywords or posts ever had."""

    filters: Mapping[int, FilterChanged] = MappingProxyType({})
    last_number: int = 0


def _evolve(state: FiltersState, event: Event) -> FiltersState:
    match event:
        case FilterChanged():
            numbers = [one.number for one in event.keywords] + [one.number for one in event.posts]
            return FiltersState(
                MappingProxyType({**state.filters, event.filter: event}),
                max(state.last_number, *numbers, 0),
            )
        case FilterDeleted(filter=id):
            left = {key: one for key, one in state.filters.items() if key != id}
            return state._replace(filters=MappingProxyType(left))
    return state


FILTERS_STATE: Final = Aggregate(FiltersState(), _evolve)
"""Of a stream `filters-<user>`."""


def no_such_filter(what: str) -> NotFound:
    """The error for a filter, or a part of one, that is not the user's, or not there (any more)."""
    return NotFound("filter-not-found", f"you have no {what} (any more); check the id")


def _checked_words(written: str, what: str) -> str:
    words = text.normalise_bounded(written, MAX_WORDS_LENGTH)
    if text.is_invisible(words) or not words.isprintable() or len(words) > MAX_WORDS_LENGTH:
        raise InvalidInput(
            "filter-words-invalid",
            f"a {what} has 1 to {MAX_WORDS_LENGTH} characters, something to be seen among them, "
            "and no control characters",
        )
    return words


def _checked_contexts(contexts: Sequence[str]) -> tuple[str, ...]:
    if not contexts or not set(contexts) <= set(FILTER_CONTEXTS):
        raise InvalidInput(
            "filter-context-invalid",
            f"`context` has one or more of {', '.join(FILTER_CONTEXTS)}",
        )
    return tuple(context for context in FILTER_CONTEXTS if context in contexts)


def _checked_action(action: str) -> str:
    if action not in FILTER_ACTIONS:
        raise InvalidInput(
            "filter-action-invalid", f"`filter_action` is one of {', '.join(FILTER_ACTIONS)}"
        )
    return action


def _changed_keywords(
    keywords: tuple[FilterKeyword, ...], changes: Sequence[KeywordChange], next_number: int
) -> tuple[FilterKeyword, ...]:
    """The keywords (their texts as written) after changes. Raises `InvalidInput`, `NotFound`."""
    by_number = {one.number: one for one in keywords}
    for change in changes:
        number = change.number
        if number is None:
            words = _checked_words(change.text or "", "keyword")
            by_number[next_number] = FilterKeyword(
                next_number, words, change.whole_word is not False
            )
            next_number += 1
            continue
        before = by_number.get(number)
        if before is None:
            raise no_such_filter(f"keyword {number}")
        if change.removed:
            del by_number[number]
            continue
        words = before.text if change.text is None else _checked_words(change.text, "keyword")
        whole_word = before.whole_word if change.whole_word is None else change.whole_word
        by_number[number] = FilterKeyword(number, words, whole_word)
    return tuple(by_number.values())


def _write(state: FiltersState, changed: FilterChanged) -> Decision:
    """The write of a filter. Raises `InvalidInput` where the user's filters become too many."""
    filters = {**state.filters, changed.filter: changed}
    if len(filters) > MAX_FILTERS:
        raise InvalidInput("filters-full", f"you have {MAX_FILTERS} filters: delete one")
    if sum(len(one.keywords) + len(one.posts) for one in filters.values()) > MAX_ENTRIES:
        raise InvalidInput(
            "filters-full",
            f"your filters have {MAX_ENTRIES} keywords and posts at most: remove some",
        )
    return (StreamWrite(streams.filters_stream(changed.user), (changed,)),)


def _decide_creation(
    command: CreateFilter, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    state = read_state(streams.filters_stream(context.actor), FILTERS_STATE)
    created = FilterChanged(
        context.new_id,
        context.actor,
        _checked_words(command.title, "title"),
        _checked_contexts(command.contexts),
        _checked_action(command.action),
        command.expires_at,
        _changed_keywords((), command.keywords, state.last_number + 1),
    )
    return _write(state, created)


def _decide_change(
    command: ChangeFilter, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    state = read_state(streams.filters_stream(context.actor), FILTERS_STATE)
    stored = state.filters.get(command.filter)
    if stored is None:
        raise no_such_filter(f"filter {command.filter}")
    before = map_texts(stored, context.open_text)
    title, contexts, action = before.title, before.contexts, before.action
    if command.title is not None:
        title = _checked_words(command.title, "title")
    if command.contexts is not None:
        contexts = _checked_contexts(command.contexts)
    if command.action is not None:
        action = _checked_action(command.action)
    keywords = _changed_keywords(before.keywords, command.keywords, state.last_number + 1)
    posts = _changed_posts(before.posts, command, state.last_number + 1 + len(command.keywords))
    if command.filter_post is not None:
        rules.require_author(command.filter_post, read_state)
    changed = FilterChanged(
        command.filter,
        context.actor,
        title,
        contexts,
        action,
        before.expires_at if command.expires_at is None else command.expires_at,
        keywords,
        posts,
    )
    return NO_EVENTS if changed == before else _write(state, changed)


def _changed_posts(
    posts: tuple[FilteredPost, ...], command: ChangeFilter, number: int
) -> tuple[FilteredPost, ...]:
    for gone in command.unfilter:
        if all(one.number != gone for one in posts):
            raise no_such_filter(f"filtered post {gone}")
    left = tuple(one for one in posts if one.number not in command.unfilter)
    wanted = str(command.filter_post or "")
    if wanted and all(one.post != wanted for one in left):
        left += (FilteredPost(number, wanted),)
    return left


def _decide_deletion(
    command: DeleteFilter, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    stream = streams.filters_stream(context.actor)
    if command.filter not in read_state(stream, FILTERS_STATE).filters:
        raise no_such_filter(f"filter {command.filter}")
    return (StreamWrite(stream, (FilterDeleted(command.filter, context.actor),)),)


def _subject_filter(command: Any, context: CommandContext) -> int:
    subject: int = command.filter
    return subject


CREATE_FILTER: Final[Decider[CreateFilter]] = Decider(CreateFilter, _decide_creation, creates=True)
CHANGE_FILTER: Final[Decider[ChangeFilter]] = Decider(
    ChangeFilter, _decide_change, subject_id=_subject_filter
)
DELETE_FILTER: Final[Decider[DeleteFilter]] = Decider(
    DeleteFilter, _decide_deletion, subject_id=_subject_filter
)
