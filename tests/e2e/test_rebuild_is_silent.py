"""Side effects hang on the live position: a rebuild and a switch tell nobody anything."""

import inspect
from pathlib import Path

import pytest

from commands.handle import Handler, Request
from commands.post import CreatePost
from commands.user import Register
from events.id_generator import Snowflake
from infra import live
from infra.command_side import clock_ms, open_log
from infra.orders import Order
from infra.projector import projector
from infra.rebuilding import build
from infra.settings import Settings
from projections.store import Changes
from streams.rebuild import load
from tests.rebuilding import view


def waits(seconds: float) -> None:
    raise AssertionError(f"nobody waits {seconds} s here")


def test_what_loads_a_view_cannot_be_given_a_listener() -> None:
    assert "listen" not in inspect.signature(load).parameters


async def test_listeners_hear_of_live_batches_and_never_of_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def listening(changes: Changes) -> list[tuple[int, int]]:
        heard.append(sum(map(len, changes.puts.values())))
        return []

    monkeypatch.setattr(live, "TOUCHES", {"posts": listening})
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        handler = Handler(log, Snowflake(1, clock_ms, waits).next)
        ada = (await handler.handle(Request(Register(handle="ada", name="Ada"), actor=0))).id
        async with projector(settings, log, rebuilds=False) as here:
            await here.runner.start()
            await handler.handle(Request(CreatePost(text="one"), actor=ada))
            await here.runner.catch_up()
            assert heard == [1]
            await handler.handle(Request(CreatePost(text="two"), actor=ada))
            built = await build(settings, "posts", verify=False)
            assert built is not None
            assert (built.state, built.position) == ("ready", log.head())
            assert heard == [1]
            assert (await here.execute(Order("switch", "posts"))).done
            assert heard == [1, 1], "of what the live view had not seen yet, once"
            assert view(settings, "posts").name == "posts-1-2.sqlite"
            await handler.handle(Request(CreatePost(text="three"), actor=ada))
            await here.runner.catch_up()
            assert heard == [1, 1, 1]


async def test_a_view_that_is_paused_is_switched_when_it_goes_on(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        handler = Handler(log, Snowflake(1, clock_ms, waits).next)
        async with projector(settings, log) as here:
            await here.runner.start()
            await here.execute(Order("pause", "profiles"))
            await handler.handle(Request(Register(handle="ada", name="Ada"), actor=0))
            await build(settings, "profiles", verify=False)
            reply = await here.execute(Order("switch", "profiles"))
            assert not reply.done
            assert "is paused" in reply.text
            await here.tend()
            assert view(settings, "profiles").name == "profiles-1.sqlite"
            await here.execute(Order("resume", "profiles"))
            await here.tend()
            assert view(settings, "profiles").name == "profiles-1-2.sqlite"
