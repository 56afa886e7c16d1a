"""Side effects hang on the live position: a rebuild and a switch tell nobody anything."""

import inspect
from pathlib import Path

import pytest

from commands.handler import CommandHandler
from commands.post import CreatePost
from commands.request import CommandRequest
from commands.user import Register
from events.ids.generator import SnowflakeGenerator
from infra.embedded import live_views
from infra.embedded.projector import open_projector
from infra.embedded.rebuilds import run_rebuild
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from projections.store import Changes
from streams.rebuild.admin import AdminCommand
from streams.rebuild.rebuild import load_view
from tests.support.data_folders import current_view_file
from tests.support.waiting import never_sleep


def test_loading_a_view_takes_no_listener() -> None:
    assert "listen" not in inspect.signature(load_view).parameters


async def test_listeners_are_notified_of_live_batches_and_never_of_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def listening(changes: Changes) -> list[tuple[int, int]]:
        heard.append(sum(map(len, changes.puts.values())))
        return []

    monkeypatch.setattr(live_views, "TOUCHES", {"posts": listening})
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
        ada = (await handler.handle(CommandRequest(Register(handle="ada", name="Ada"), actor=0))).id
        async with open_projector(settings, log, rebuilds=False) as here:
            await here.runner.start()
            await handler.handle(CommandRequest(CreatePost(text="one"), actor=ada))
            await here.runner.catch_up()
            assert heard == [1]
            await handler.handle(CommandRequest(CreatePost(text="two"), actor=ada))
            built = await run_rebuild(settings, "posts", verify=False)
            assert built is not None
            assert (built.state, built.position) == ("ready", log.head())
            assert heard == [1]
            assert (await here.execute_command(AdminCommand("switch", "posts"))).done
            assert heard == [1, 1], "of what the live view had not seen yet, once"
            assert current_view_file(settings, "posts").name == "posts-1-2.sqlite"
            await handler.handle(CommandRequest(CreatePost(text="three"), actor=ada))
            await here.runner.catch_up()
            assert heard == [1, 1, 1]


async def test_a_paused_view_is_switched_when_it_is_resumed(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
        async with open_projector(settings, log) as here:
            await here.runner.start()
            await here.execute_command(AdminCommand("pause", "profiles"))
            await handler.handle(CommandRequest(Register(handle="ada", name="Ada"), actor=0))
            await run_rebuild(settings, "profiles", verify=False)
            reply = await here.execute_command(AdminCommand("switch", "profiles"))
            assert not reply.done
            assert "is paused" in reply.text
            await here.run_maintenance()
            assert current_view_file(settings, "profiles").name == "profiles-1.sqlite"
            await here.execute_command(AdminCommand("resume", "profiles"))
            await here.run_maintenance()
            assert current_view_file(settings, "profiles").name == "profiles-1-2.sqlite"
