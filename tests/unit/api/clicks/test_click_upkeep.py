"""Old clicks and deleted accounts leave the log of clicks."""

from contextlib import closing

from api.clicks.click_intake import DAY_MS
from api.clicks.click_log import Click, PostReads
from api.clicks.click_upkeep import ClickUpkeep
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import UserDeleted
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.click_log import SqliteClickLog
from infra.sqlite.click_questions import QUARTER_MS
from tests.support.decider_dsl import stream_of

NOW = 1_770_000_000_000
ADA = 7


async def test_the_name_of_a_deleted_account_and_old_clicks_leave() -> None:
    log = MemoryLog()
    event, id = UserDeleted(ADA, "ada"), first_id_at(NOW)
    write = StreamAppend(stream_of(event), 0, (NewEvent(id, event),))
    await log.append(AppendRequest((write,), ADA, id, id))
    with closing(SqliteClickLog(":memory:")) as clicks:
        upkeep = ClickUpkeep(log, clicks, 90, lambda: NOW)
        old, kept = NOW - 90 * DAY_MS - QUARTER_MS, NOW - 90 * DAY_MS
        await clicks.append_clicks(
            [
                Click(at, at, 1, ADA, at // QUARTER_MS, None, "view", None, None)
                for at in (old, kept)
            ]
        )
        await upkeep.catch_up()
        assert await clicks.followed_through() == log.head()
        await upkeep.sweep()
        hours = range(NOW // QUARTER_MS)
        assert await clicks.most_read_posts(hours, 9) == [PostReads(kept // QUARTER_MS, 1)]
        async with upkeep.running():
            pass
