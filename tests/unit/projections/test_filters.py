"""Filters, from events to rows."""

from events import schema
from projections.filters import FILTERS, read_filters
from tests.support.projection_dsl import given, id_at

ANN, BEN = 1, 2
MADE = schema.FilterChanged(
    id_at(1),
    ANN,
    "Pets",
    ("home", "thread"),
    "hide",
    7,
    (schema.FilterKeyword(1, "cats"),),
    (schema.FilteredPost(2, "9"),),
)


def test_a_filter_is_what_its_newest_event_says() -> None:
    renamed = schema.FilterChanged(id_at(1), ANN, "Cats", ("home",))
    other = schema.FilterChanged(id_at(2), BEN, "x", ("home",))
    assert given(MADE, other).query(FILTERS, lambda store: read_filters(store, ANN)) == [MADE]
    changed = given(MADE, other, renamed)
    assert changed.query(FILTERS, lambda store: read_filters(store, ANN)) == [renamed]


def test_filters_end_when_they_are_deleted_and_with_the_account() -> None:
    for end in (schema.FilterDeleted(id_at(1), ANN), schema.UserDeleted(ANN, "ann")):
        given(MADE, end).expect(FILTERS)
