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

from commands.handle import Handler, Request
from commands.post import CreatePost
from events.id_generator import Snowflake
from infra.command_side import clock_ms
from infra.conducting import Rebuilds
from infra.logs.sqlite import SqliteLog
from infra.projector import projector
from infra.settings import Settings
from infra.views.board import BoardWriter
from infra.views.fanout import Fanout
from infra.workshops import FileWorkshop
from projections.catalog import CATALOG
from projections.store import Changes
from projections.timeline import POSTED
from projections.touched import Kind
from streams.rebuild import load
from tests.fresh import caught_up
from tests.rebuilding import view, world

NAMES = [projection.name for projection in CATALOG]
WRITER = 7


class Heard:
    """What was told: to the journal, and to the rings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.touched: list[tuple[int, int]] = []
        self.posts: list[int] = []
        touch, listen = BoardWriter.touch, Fanout.listen

        def touching(board: BoardWriter, touches: Iterable[tuple[int, int]]) -> None:
            told = list(touches)
            self.touched += told
            touch(board, told)

        def listening(rings: Fanout, changes: Changes, position: int) -> None:
            self.posts += [id for (id,) in changes.puts.get(POSTED, ())]
            listen(rings, changes, position)

        monkeypatch.setattr(BoardWriter, "touch", touching)
        monkeypatch.setattr(Fanout, "listen", listening)


def waits(seconds: float) -> None:
    raise AssertionError(f"nobody waits {seconds} s here")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return world(tmp_path / "data", events=2_000)


async def test_a_rebuild_of_everything_tells_nobody_and_the_next_event_is_told_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch)
    log, stop = SqliteLog(settings.log_file), asyncio.Event()
    handler = Handler(log, Snowflake(1, clock_ms, waits).next)
    async with projector(settings, log, rebuilds=False) as here:
        running = asyncio.create_task(here.run(stop))
        await caught_up(settings, log)
        assert len(heard.touched) > 1000
        assert len(heard.posts) > 100
        heard.touched.clear()
        heard.posts.clear()

        rebuilds = Rebuilds(NAMES, verify=False, jobs=2)
        outcomes = await rebuilds.run(FileWorkshop(settings), lambda what, total: lambda done: None)
        assert all(outcome.done for outcome in outcomes.values()), outcomes
        assert all(view(settings, name).stem.endswith("-2") for name in NAMES)
        assert (heard.touched, heard.posts) == ([], [])

        made = await handler.handle(Request(CreatePost(text="new"), actor=WRITER))
        await caught_up(settings, log)
        stop.set()
        await running
    log.close()
    assert heard.posts == [made.id]
    assert heard.touched.count((Kind.POST, made.id)) == 1


def test_the_process_that_rebuilds_does_not_even_know_who_listens() -> None:
    parameters = inspect.signature(load).parameters
    assert not any("listen" in f"{name} {p.annotation}".lower() for name, p in parameters.items())
    code = "import sys, infra.build_view; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = set(done.stdout.split())
    assert "streams.rebuild" in known
    assert (
        known & {"infra.views.fanout", "infra.live", "infra.projector", "streams.runner"} == set()
    )
