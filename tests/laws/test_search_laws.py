"""Whatever happened: a search finds what is there, by the words that it has now."""

from collections import Counter
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from api.search.search_follower import SearchFollower
from api.search.search_index import TagUses
from api.search.search_words import query_words, words_of
from events.hashtags import fold_hashtag
from events.schema import PostCreated, PostDeleted, PostEdited, UserDeleted
from events.sealed_text import as_written
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.search_index import SqliteSearchIndex
from projections.pages import PageRequest
from tests.support.made_up_events import append_recorded
from tests.support.random_logs import TEXTS, CommandStep, events_of_steps, random_steps

ALL = PageRequest(1000)


async def expected_posts(steps: list[CommandStep]) -> dict[int, PostCreated | PostEdited]:
    """The posts that are there in the end, as they were written last."""
    live: dict[int, PostCreated | PostEdited] = {}
    for recorded in await events_of_steps(steps):
        match recorded.event:
            case PostCreated() | PostEdited() as written:
                live[written.post] = written
            case PostDeleted(post=post):
                live.pop(post, None)
            case UserDeleted(user=user):
                live = {id: one for id, one in live.items() if one.author != user}
    return live


@settings(max_examples=25, deadline=None)
@given(random_steps(40), st.sets(st.integers(1, 60), max_size=3))
async def test_an_index_that_follows_finds_what_one_made_anew_does(
    steps: list[CommandStep], stops: set[int]
) -> None:
    history = await events_of_steps(steps)
    log = MemoryLog()
    with (
        closing(SqliteSearchIndex(":memory:")) as followed,
        closing(SqliteSearchIndex(":memory:")) as anew,
    ):
        for count, recorded in enumerate(history):
            if count in stops:
                await SearchFollower(log, followed, as_written).catch_up()
            await append_recorded(log, [recorded])
        for index in (followed, anew):
            await SearchFollower(log, index, as_written).catch_up()
        live = await expected_posts(steps)
        for text in TEXTS:
            wanted = set(query_words(text))
            posts = sorted(
                (id for id, one in live.items() if wanted <= words_of(one.text)), reverse=True
            )
            for index in (followed, anew):
                assert [post for post, _ in await index.find_posts([*wanted], ALL)] == posts
        tags = Counter(
            tag for one in live.values() for tag in {fold_hashtag(tag) for tag in one.hashtags}
        )
        ranked = sorted(tags.items(), key=lambda use: (-use[1], use[0]))
        for index in (followed, anew):
            assert await index.find_hashtags("", 99) == [TagUses(*use) for use in ranked]
            assert await index.complete_handle("u", 99) == await followed.complete_handle("u", 99)
