"""Lists of accounts, from events to rows, and their timelines."""

from events import schema
from projections.list_timeline import read_list_timeline
from projections.lists import LIST_MEMBERS, LISTS, ListMemberRow, ListRow, lists_with
from projections.pages import PageRequest
from projections.store import ReadStore
from projections.timeline import POST_ENTRIES
from tests.support.projection_dsl import given, id_at

ANN, BEN, CY = 1, 2, 3
LIST = id_at(1)
MADE = schema.ListChanged(LIST, ANN, "Friends")
ADDED = (id_at(2), schema.ListMemberAdded(LIST, ANN, BEN))
ROW, MEMBER = ListRow(ANN, LIST, "Friends", "list"), ListMemberRow(ANN, LIST, BEN, id_at(2))


def test_a_list_has_its_members() -> None:
    there = given(MADE, ADDED)
    there.expect(LISTS, ROW).expect(LIST_MEMBERS, MEMBER)
    renamed = given(MADE, ADDED, schema.ListChanged(LIST, ANN, "Family", "none"))
    renamed.expect(LISTS, ListRow(ANN, LIST, "Family", "none")).expect(LIST_MEMBERS, MEMBER)

    async def with_ben(store: ReadStore) -> list[ListRow]:
        return await lists_with(store, ANN, BEN)

    assert there.query(LIST_MEMBERS, with_ben) == [ROW]


def test_what_ends_takes_its_members_with_it() -> None:
    for end in (schema.ListDeleted(LIST, ANN), schema.UserDeleted(ANN, "ann")):
        given(MADE, ADDED, end).expect(LISTS).expect(LIST_MEMBERS)
    gone = given(MADE, ADDED, schema.ListMemberRemoved(LIST, ANN, BEN))
    gone.expect(LISTS, ROW).expect(LIST_MEMBERS)


def post(number: int, author: int) -> schema.PostCreated:
    return schema.PostCreated(post=id_at(number), author=author, text="t")


def test_a_list_shows_what_its_members_post_and_retweet_each_post_once() -> None:
    events = [post(n, (ANN, BEN, CY)[n % 3]) for n in range(9)]
    retweets = [
        (id_at(20), schema.PostRetweeted(id_at(0), BEN, ANN)),
        (id_at(21), schema.PostRetweeted(id_at(1), CY, BEN)),
    ]
    happened = given(*events, *retweets)

    def read(request: PageRequest, hidden: frozenset[int] = frozenset()) -> list[int]:
        async def ids(store: ReadStore) -> list[int]:
            return [one.id for one in await read_list_timeline(store, {BEN, CY}, request, hidden)]

        return happened.query(POST_ENTRIES, ids)

    whole = [id_at(n) for n in (21, 20, 8, 7, 5, 4, 2)]
    assert read(PageRequest()) == whole
    assert read(PageRequest(2)) == whole[:2]
    assert read(PageRequest(2, max_id=id_at(20))) == whole[2:4]
    assert read(PageRequest(2, min_id=id_at(4))) == [id_at(7), id_at(5)]
    assert read(PageRequest(), frozenset({CY, ANN})) == [id_at(n) for n in (7, 4, 1)]
