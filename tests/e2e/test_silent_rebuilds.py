"""A rebuild notifies no listener: side effects hang on the live position, and happen once.

Notifications, streams and rings of home timelines are fed by the listeners of the live views, and
so are the invalidations that API processes read from the status page.
"""

import asyncio
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from commands.handler import CommandHandler
from commands.post import CreatePost
from commands.request import CommandRequest
from commands.user import Register
from events.ids.generator import SnowflakeGenerator
from infra.embedded import live_views
from infra.embedded.projector import open_projector
from infra.embedded.rebuilds import EmbeddedRebuildBackend
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.status_page import StatusPageWriter
from infra.sqlite.event_log import SqliteLog
from projections.invalidation import InvalidationKind
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes
from projections.timeline import POST_ENTRIES
from streams.rebuild.admin import AdminCommand
from streams.rebuild.rebuild import load_view
from tests.support.data_folders import (
    create_data_folder,
    current_view_file,
    rebuild_views,
    view_file_name,
)
from tests.support.fresh_projection import wait_until_caught_up
from tests.support.waiting import never_sleep

NAMES = [projection.name for projection in ALL_PROJECTIONS]
WRITER = 7


class RecordedSideEffects:
    """What the live views published: invalidations on the status page, posts in the rings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.invalidations: list[tuple[int, int]] = []
        self.posts: list[int] = []
        add_invalidations = StatusPageWriter.add_invalidations
        deliver_changes = RingFanout.deliver_changes

        def record_invalidations(
            page: StatusPageWriter, invalidations: Iterable[tuple[int, int]]
        ) -> None:
            added = list(invalidations)
            self.invalidations += added
            add_invalidations(page, added)

        def record_posts(rings: RingFanout, changes: Changes, position: int) -> None:
            self.posts += [id for (id,) in changes.puts.get(POST_ENTRIES, ())]
            deliver_changes(rings, changes, position)

        monkeypatch.setattr(StatusPageWriter, "add_invalidations", record_invalidations)
        monkeypatch.setattr(RingFanout, "deliver_changes", record_posts)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return create_data_folder(tmp_path / "data", events=2_000)


async def test_a_rebuild_of_everything_notifies_no_listener_and_the_next_event_notifies_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = RecordedSideEffects(monkeypatch)
    log, stop = SqliteLog(settings.log_path), asyncio.Event()
    handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
    async with open_projector(settings, log, rebuilds=False) as projector:
        running = asyncio.create_task(projector.run(stop))
        await wait_until_caught_up(settings, log)
        assert len(effects.invalidations) > 1000
        assert len(effects.posts) > 100
        effects.invalidations.clear()
        effects.posts.clear()

        outcomes = await rebuild_views(settings, log, *NAMES, at_once=2)
        assert all(outcome.done for outcome in outcomes.values()), outcomes
        assert all(current_view_file(settings, name).stem.endswith("-2") for name in NAMES)
        assert (effects.invalidations, effects.posts) == ([], [])

        made = await handler.handle(CommandRequest(CreatePost(text="new"), actor=WRITER))
        await wait_until_caught_up(settings, log)
        stop.set()
        await running
    log.close()
    assert effects.posts == [made.id]
    assert effects.invalidations.count((InvalidationKind.POST, made.id)) == 1


def test_the_rebuild_process_imports_no_listener() -> None:
    parameters = inspect.signature(load_view).parameters
    assert not any("listen" in f"{name} {p.annotation}".lower() for name, p in parameters.items())
    code = "import sys, infra.embedded.rebuild_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "streams.rebuild.rebuild" in imported
    listeners = {
        "infra.shared_memory.fanout",
        "infra.embedded.live_views",
        "infra.embedded.projector",
        "streams.projecting.log_runner",
    }
    assert all(importlib.util.find_spec(module) for module in listeners), "a module has moved"
    assert imported & listeners == set()


async def test_listeners_are_notified_of_live_batches_and_never_of_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_rows: list[int] = []

    def record_changes(changes: Changes) -> list[tuple[int, int]]:
        changed_rows.append(sum(map(len, changes.puts.values())))
        return []

    monkeypatch.setattr(live_views, "INVALIDATIONS", {"posts": record_changes})
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
        ada = (await handler.handle(CommandRequest(Register(handle="ada", name="Ada"), actor=0))).id
        async with open_projector(settings, log, rebuilds=False) as projector:
            await projector.runner.start()
            await handler.handle(CommandRequest(CreatePost(text="one"), actor=ada))
            await projector.runner.catch_up()
            assert changed_rows == [1]
            await handler.handle(CommandRequest(CreatePost(text="two"), actor=ada))
            record = await EmbeddedRebuildBackend(settings).run_rebuild("posts", False)
            assert record is not None
            assert (record.state, record.position) == ("ready", log.head())
            assert changed_rows == [1]
            assert (await projector.admin.execute(AdminCommand("switch", "posts"))).done
            assert changed_rows == [1, 1], "of what the live view had not seen yet, once"
            assert current_view_file(settings, "posts").name == view_file_name("posts", 2)
            await handler.handle(CommandRequest(CreatePost(text="three"), actor=ada))
            await projector.runner.catch_up()
            assert changed_rows == [1, 1, 1]


async def test_a_paused_view_is_switched_when_it_is_resumed(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
        async with open_projector(settings, log) as projector:
            await projector.runner.start()
            await projector.admin.execute(AdminCommand("pause", "profiles"))
            await handler.handle(CommandRequest(Register(handle="ada", name="Ada"), actor=0))
            await EmbeddedRebuildBackend(settings).run_rebuild("profiles", False)
            reply = await projector.admin.execute(AdminCommand("switch", "profiles"))
            assert not reply.done
            assert "is paused" in reply.text
            await projector.run_maintenance()
            assert current_view_file(settings, "profiles").name == view_file_name("profiles")
            await projector.admin.execute(AdminCommand("resume", "profiles"))
            await projector.run_maintenance()
            assert current_view_file(settings, "profiles").name == view_file_name("profiles", 2)
