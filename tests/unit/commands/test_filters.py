"""Filters: who may change them, and how."""

from commands.errors import InvalidInput, NotFound
from commands.filters import (
    MAX_ENTRIES,
    MAX_FILTERS,
    ChangeFilter,
    CreateFilter,
    DeleteFilter,
    KeywordChange,
)
from events.schema import FilterChanged, FilterDeleted, FilteredPost, FilterKeyword
from tests.support.decider_dsl import ANNA, BEN, BEN_POSTED, NEW_ID, PEOPLE, POST

FILTER = 77
HOME = ("home",)
CATS = FilterKeyword(1, "cats")
MADE = FilterChanged(FILTER, ANNA, "Pets", HOME, "warn", 0, (CATS,))
THERE = PEOPLE.and_then(MADE)


def test_a_filter_is_made_and_changed() -> None:
    wanted = CreateFilter(" Pets ", HOME, keywords=(KeywordChange(" cats "),))
    PEOPLE.when(wanted).then(FilterChanged(NEW_ID, ANNA, "Pets", HOME, "warn", 0, (CATS,)))
    THERE.when(ChangeFilter(FILTER, "Animals", ("thread", "home"), "hide", 9)).then(
        FilterChanged(FILTER, ANNA, "Animals", ("home", "thread"), "hide", 9, (CATS,))
    )
    THERE.when(ChangeFilter(FILTER, "Pets", HOME, "warn", 0)).then_nothing()
    THERE.when(DeleteFilter(FILTER)).then(FilterDeleted(FILTER, ANNA))


def test_keywords_are_added_changed_and_removed_at_once() -> None:
    changes = (
        KeywordChange("dogs", whole_word=False),
        KeywordChange("kittens", number=1),
        KeywordChange("birds"),
    )
    kittens, dogs = FilterKeyword(1, "kittens"), FilterKeyword(2, "dogs", whole_word=False)
    changed = FilterChanged(
        FILTER, ANNA, "Pets", HOME, "warn", 0, (kittens, dogs, FilterKeyword(3, "birds"))
    )
    THERE.when(ChangeFilter(FILTER, keywords=changes)).then(changed)
    removed = ChangeFilter(FILTER, keywords=(KeywordChange(number=1, removed=True),))
    empty = FilterChanged(FILTER, ANNA, "Pets", HOME)
    THERE.when(removed).then(empty)
    again = ChangeFilter(FILTER, keywords=(KeywordChange("cats"),))
    number_2 = FilterChanged(FILTER, ANNA, "Pets", HOME, "warn", 0, (FilterKeyword(2, "cats"),))
    THERE.and_then(empty).when(again).then(number_2)
    missing = ChangeFilter(FILTER, keywords=(KeywordChange("x", number=7),))
    THERE.when(missing).then_rejected("filter-not-found", NotFound)


def test_a_filter_names_a_post_once() -> None:
    made = BEN_POSTED.and_then(MADE)
    named = FilterChanged(
        FILTER, ANNA, "Pets", HOME, "warn", 0, (CATS,), (FilteredPost(2, str(POST)),)
    )
    made.when(ChangeFilter(FILTER, filter_post=POST)).then(named)
    there = made.and_then(named)
    there.when(ChangeFilter(FILTER, filter_post=POST)).then_nothing()
    there.when(ChangeFilter(FILTER, unfilter=(2,))).then(MADE)
    made.when(ChangeFilter(FILTER, unfilter=(2,))).then_rejected("filter-not-found", NotFound)
    THERE.when(ChangeFilter(FILTER, filter_post=8)).then_rejected("post-not-found", NotFound)


def test_values_that_make_no_sense_are_refused() -> None:
    for command, code in (
        (CreateFilter("", HOME), "filter-words-invalid"),
        (CreateFilter("x" * 201, HOME), "filter-words-invalid"),
        (CreateFilter("a\nb", HOME), "filter-words-invalid"),
        (CreateFilter("x", ()), "filter-context-invalid"),
        (CreateFilter("x", ("work",)), "filter-context-invalid"),
        (CreateFilter("x", HOME, "blur"), "filter-action-invalid"),
        (CreateFilter("x", HOME, keywords=(KeywordChange(" "),)), "filter-words-invalid"),
    ):
        PEOPLE.when(command).then_rejected(code, InvalidInput)


def test_a_user_never_has_more_than_can_be_compared_with_each_post() -> None:
    many = PEOPLE.and_then(
        *(FilterChanged(1000 + n, ANNA, "x", HOME) for n in range(MAX_FILTERS - 1))
    )
    many.when(CreateFilter("x", HOME)).then(FilterChanged(NEW_ID, ANNA, "x", HOME))
    full = many.and_then(FilterChanged(FILTER, ANNA, "x", HOME))
    full.when(CreateFilter("x", HOME)).then_rejected("filters-full", InvalidInput)
    words = tuple(FilterKeyword(n, f"word {n}") for n in range(1, MAX_ENTRIES + 1))
    long = PEOPLE.and_then(FilterChanged(FILTER, ANNA, "x", HOME, keywords=words))
    added = ChangeFilter(FILTER, keywords=(KeywordChange("one more"),))
    long.when(added).then_rejected("filters-full", InvalidInput)


def test_a_filter_that_another_user_has_or_that_was_deleted_is_not_there() -> None:
    for history in (
        PEOPLE.and_then(FilterChanged(FILTER, BEN, "x", HOME)),
        THERE.and_then(FilterDeleted(FILTER, ANNA)),
    ):
        for command in (ChangeFilter(FILTER, "y"), DeleteFilter(FILTER)):
            history.when(command).then_rejected("filter-not-found", NotFound)
