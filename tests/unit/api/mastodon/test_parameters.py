"""Parameters in the forms in which clients send them."""

import pytest

from api.http.errors import RequestRefused
from api.mastodon.parameters import (
    ClientParameters,
    Flag,
    Number,
    OptionalText,
    Texts,
    expand_parameters,
)


class Sample(ClientParameters):
    id: Texts = []  # noqa: RUF012
    on: Flag = None
    limit: Number = None
    name: OptionalText = None


def read(*pairs: tuple[str, object]) -> Sample:
    return Sample.model_validate(expand_parameters(pairs))


@pytest.mark.parametrize(
    "pairs",
    [
        [("id[]", "1"), ("id[]", "2")],
        [("id[0]", "1"), ("id[1]", "2")],
        [("id", "1"), ("id", "2")],
        [("id", ["1", "2"])],
        [("id", [1, 2])],
    ],
)
def test_a_list_is_the_same_in_every_form(pairs: list[tuple[str, object]]) -> None:
    assert read(*pairs).id == ["1", "2"]


def test_one_value_is_a_list_of_it() -> None:
    assert read(("id", "7")).id == ["7"]


def test_a_list_keeps_the_order_of_its_numbers() -> None:
    pairs = [(f"id[{n}]", str(n)) for n in (10, 2, 0)]
    assert read(*pairs).id == ["0", "2", "10"]


@pytest.mark.parametrize("text", ["true", "True", "1", "on", "t", True, 1])
def test_what_means_yes(text: object) -> None:
    assert read(("on", text)).on is True


@pytest.mark.parametrize("text", ["false", "False", "0", "off", "f", False])
def test_what_means_no(text: object) -> None:
    assert read(("on", text)).on is False


def test_brackets_without_a_number_begin_an_object_where_a_name_comes_again() -> None:
    pairs = [("a[][b]", "1"), ("a[][c]", "2"), ("a[][b]", "3"), ("a[][d][]", "4"), ("a[][c]", "5")]
    assert expand_parameters(pairs) == {
        "a": [{"b": "1", "c": "2"}, {"b": "3", "d": ["4"], "c": "5"}]
    }


def test_empty_numbers_nulls_and_unknown_names_count_as_absent() -> None:
    found = read(("limit", ""), ("on", ""), ("name", None), ("oauth_info", "x"), ("[", "y"))
    assert (found.limit, found.on, found.name) == (None, None, None)


def test_nested_names_make_a_tree() -> None:
    tree = expand_parameters(
        [("source[privacy]", "public"), ("fields[0][name]", "a"), ("fields[0][value]", "b")]
    )
    assert tree == {"source": {"privacy": "public"}, "fields": [{"name": "a", "value": "b"}]}


def test_a_name_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(RequestRefused):
        expand_parameters([("a" + "[b]" * 50, "1")])
