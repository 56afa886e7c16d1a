"""Lists of accounts: who may change them, and how."""

from commands.errors import InvalidInput, NotFound
from commands.lists import (
    MAX_MEMBERS,
    AddListMember,
    ChangeList,
    CreateList,
    DeleteList,
    RemoveListMember,
)
from events.schema import ListChanged, ListDeleted, ListMemberAdded, ListMemberRemoved
from tests.support.decider_dsl import ANNA, BEN, NEW_ID, PEOPLE

LIST = 77
MADE = PEOPLE.and_then(ListChanged(LIST, ANNA, "Friends"))


def test_a_list_is_made_and_renamed() -> None:
    PEOPLE.when(CreateList(" Friends ")).then(ListChanged(NEW_ID, ANNA, "Friends", "list"))
    MADE.when(ChangeList(LIST, "Family")).then(ListChanged(LIST, ANNA, "Family", "list"))
    MADE.when(ChangeList(LIST, None, "none")).then(ListChanged(LIST, ANNA, "Friends", "none"))
    MADE.when(ChangeList(LIST, "Friends", "list")).then_nothing()
    MADE.when(DeleteList(LIST)).then(ListDeleted(LIST, ANNA))


def test_titles_and_policies_that_make_no_sense_are_refused() -> None:
    for title, code in (
        (" ", "title-empty"),
        ("x" * 101, "title-too-long"),
        ("a\nb", "title-invalid"),
    ):
        PEOPLE.when(CreateList(title)).then_rejected(code, InvalidInput)
    PEOPLE.when(CreateList("x", "all")).then_rejected("replies-policy-invalid", InvalidInput)


def test_an_account_is_on_a_list_once() -> None:
    MADE.when(AddListMember(LIST, BEN)).then(ListMemberAdded(LIST, ANNA, BEN))
    MADE.when(RemoveListMember(LIST, BEN)).then_nothing()
    there = MADE.and_then(ListMemberAdded(LIST, ANNA, BEN))
    there.when(AddListMember(LIST, BEN)).then_nothing()
    there.when(RemoveListMember(LIST, BEN)).then(ListMemberRemoved(LIST, ANNA, BEN))
    MADE.when(AddListMember(LIST, 999)).then_rejected("user-not-found", NotFound)


def test_a_list_is_never_longer_than_can_be_read_at_once() -> None:
    full = MADE.and_then(*(ListMemberAdded(LIST, ANNA, 1000 + n) for n in range(MAX_MEMBERS)))
    full.when(AddListMember(LIST, BEN)).then_rejected("list-full", InvalidInput)


def test_a_list_that_another_user_has_or_that_was_deleted_is_not_there() -> None:
    for history in (
        PEOPLE.and_then(ListChanged(LIST, BEN, "x")),
        MADE.and_then(ListDeleted(LIST, ANNA)),
    ):
        for command in (
            ChangeList(LIST, "y"),
            DeleteList(LIST),
            AddListMember(LIST, BEN),
            RemoveListMember(LIST, BEN),
        ):
            history.when(command).then_rejected("list-not-found", NotFound)
