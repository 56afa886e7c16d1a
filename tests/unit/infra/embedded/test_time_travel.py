"""The past for API processes: made in another process, kept open while it is still true."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from api.ports import TimeTravelBusy
from events.ids.snowflake import compose_id
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from events.schema import UserRegistered
from infra.embedded.time_travel import PointInTimeViews
from infra.log_of_record import open_log
from infra.settings import Settings
from projections.profiles import PROFILES
from projections.store import ReadStore

START_MS = 1_700_000_000_000


async def registered(log: EventLog, number: int, ms: int) -> None:
    user = compose_id(ms, 1008, number)
    event = UserRegistered(user=user, handle=f"u{number}", name="U")
    new = NewEvent(user, event)
    await log.append(AppendRequest((StreamAppend(f"user-{user}", 0, (new,)),), user, user, user))


async def no_skips(projection: str) -> frozenset[int]:
    return frozenset()


async def handles(store: ReadStore) -> list[str]:
    return sorted(row.handle for row in await store.scan(PROFILES))


async def test_views_are_built_cached_and_rebuilt_when_late_events_arrive(
    tmp_path: Path,
) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        await registered(log, 1, START_MS)
        await registered(log, 2, START_MS + 1000)
        async with aclosing(PointInTimeViews(settings, log, no_skips)) as past:
            one = (await past.stores_at(["profiles", "posts"], START_MS + 500, 1))["profiles"]
            assert await handles(one) == ["u1"]
            await registered(log, 3, START_MS + 2000)
            again = (await past.stores_at(["posts", "profiles"], START_MS + 500, 1))["profiles"]
            assert again is one
            await registered(log, 4, START_MS + 100)
            third = (await past.stores_at(["profiles", "posts"], START_MS + 500, 1))["profiles"]
            assert await handles(third) == ["u1", "u4"]
        assert os.listdir(settings.snapshots_folder) == []


async def test_a_query_that_waited_too_long_fails_and_finds_the_view_later(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        await registered(log, 1, START_MS)
        async with aclosing(PointInTimeViews(settings, log, no_skips, wait_seconds=0.001)) as past:
            with pytest.raises(TimeTravelBusy):
                await past.stores_at(["profiles"], START_MS, 1)
            found: Any = None
            while found is None:
                try:
                    found = await past.stores_at(["profiles"], START_MS, 1)
                except TimeTravelBusy:
                    continue
            assert await handles(found["profiles"]) == ["u1"]


async def test_a_server_that_stops_ends_what_is_being_made(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        await registered(log, 1, START_MS)
        async with aclosing(PointInTimeViews(settings, log, no_skips, wait_seconds=0.05)) as past:
            with pytest.raises(TimeTravelBusy):
                await past.stores_at(["profiles"], START_MS, 1)
        assert os.listdir(settings.snapshots_folder) == []


async def test_a_reader_orders_the_views_of_one_time_after_another(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        await registered(log, 1, START_MS)
        async with aclosing(PointInTimeViews(settings, log, no_skips)) as past:
            first = asyncio.create_task(past.stores_at(["profiles"], START_MS, 1))
            await asyncio.sleep(0)
            with pytest.raises(TimeTravelBusy):
                await past.stores_at(["profiles"], START_MS + 1, 1)
            same = asyncio.create_task(past.stores_at(["profiles"], START_MS, 1))
            other = asyncio.create_task(past.stores_at(["profiles"], START_MS + 2, 2))
            assert await handles((await first)["profiles"]) == ["u1"]
            assert await handles((await same)["profiles"]) == ["u1"]
            assert await handles((await other)["profiles"]) == ["u1"]
            again = await past.stores_at(["profiles"], START_MS + 1, 1)
            assert await handles(again["profiles"]) == ["u1"]


async def test_open_views_keep_to_a_bound_of_the_disk(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        await registered(log, 1, START_MS)
        async with aclosing(PointInTimeViews(settings, log, no_skips, max_cached_bytes=1)) as past:
            one = (await past.stores_at(["profiles"], START_MS, 1))["profiles"]
            assert (await past.stores_at(["profiles"], START_MS, 1))["profiles"] is one
            await past.stores_at(["profiles"], START_MS + 1, 1)
            assert (await past.stores_at(["profiles"], START_MS, 1))["profiles"] is not one
