"""Nothing that a rebuild does is told to anybody: what happened once is not heard of twice.

Notifications, streams and rings of home timelines hang on the listeners of the live views, and so
does the journal of what API processes must forget.
"""

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from commands.handler import CommandHandler
from commands.post import CreatePost
from commands.request import CommandRequest
from events.ids.generator import SnowflakeGenerator
from infra.embedded.projector import open_projector
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.status_page import StatusPageWriter
from infra.sqlite.event_log import SqliteLog
from infra.streaming.rebuilds import EmbeddedRebuildBackend
from projections.invalidation import InvalidationKind
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes
from projections.timeline import POST_ENTRIES
from streams.rebuild.jobs import RebuildJobs
from streams.rebuild.rebuild import load_view
from tests.support.data_folders import create_data_folder, current_view_file
from tests.support.fresh_projection import wait_until_caught_up
from tests.support.waiting import never_sleep

NAMES = [projection.name for projection in ALL_PROJECTIONS]
WRITER = 7


class RecordedSideEffects:
    """What was told: to the journal, and to the rings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.invalidations: list[tuple[int, int]] = []
        self.posts: list[int] = []
        touch, listen = StatusPageWriter.add_invalidations, RingFanout.deliver_changes

        def touching(board: StatusPageWriter, touches: Iterable[tuple[int, int]]) -> None:
            told = list(touches)
            self.invalidations += told
            touch(board, told)

        def listening(rings: RingFanout, changes: Changes, position: int) -> None:
            self.posts += [id for (id,) in changes.puts.get(POST_ENTRIES, ())]
            listen(rings, changes, position)

        monkeypatch.setattr(StatusPageWriter, "add_invalidations", touching)
        monkeypatch.setattr(RingFanout, "deliver_changes", listening)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return create_data_folder(tmp_path / "data", events=2_000)


async def test_a_rebuild_of_everything_notifies_no_listener_and_the_next_event_notifies_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = RecordedSideEffects(monkeypatch)
    log, stop = SqliteLog(settings.log_file), asyncio.Event()
    handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
    async with open_projector(settings, log, rebuilds=False) as here:
        running = asyncio.create_task(here.run(stop))
        await wait_until_caught_up(settings, log)
        assert len(heard.invalidations) > 1000
        assert len(heard.posts) > 100
        heard.invalidations.clear()
        heard.posts.clear()

        rebuilds = RebuildJobs(NAMES, verify=False, jobs=2)
        outcomes = await rebuilds.run(
            EmbeddedRebuildBackend(settings), lambda what, total: lambda done: None
        )
        assert all(outcome.done for outcome in outcomes.values()), outcomes
        assert all(current_view_file(settings, name).stem.endswith("-2") for name in NAMES)
        assert (heard.invalidations, heard.posts) == ([], [])

        made = await handler.handle(CommandRequest(CreatePost(text="new"), actor=WRITER))
        await wait_until_caught_up(settings, log)
        stop.set()
        await running
    log.close()
    assert heard.posts == [made.id]
    assert heard.invalidations.count((InvalidationKind.POST, made.id)) == 1


def test_the_rebuild_process_imports_no_listener() -> None:
    parameters = inspect.signature(load_view).parameters
    assert not any("listen" in f"{name} {p.annotation}".lower() for name, p in parameters.items())
    code = "import sys, infra.embedded.rebuild_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = set(done.stdout.split())
    assert "streams.rebuild.rebuild" in known
    assert (
        known
        & {
            "infra.shared_memory.fanout",
            "infra.embedded.live_views",
            "infra.embedded.projector",
            "streams.projecting.log_runner",
        }
        == set()
    )
