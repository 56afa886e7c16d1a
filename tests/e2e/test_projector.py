"""The projector brings the views up to the log, says so, and takes up where it was killed."""

import asyncio
from pathlib import Path

import pytest

from commands.handle import Handler, Request
from commands.post import CreatePost
from commands.user import Register
from events.id_generator import Snowflake
from infra.command_side import clock_ms
from infra.logs.sqlite import SqliteLog
from infra.projector import projector
from infra.settings import Settings
from infra.views.board import BoardReader, BoardTaken
from infra.views.current import CurrentFiles
from infra.views.sqlite import SqliteStore
from projections import posts
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.touched import Kind
from streams.dead_letters import kept

POSTS: Projection = next(projection for projection in CATALOG if projection.name == "posts")


def waits(seconds: float) -> None:
    raise AssertionError(f"nobody waits {seconds} s here")


async def test_what_is_posted_can_be_read_once_the_board_says_so(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    log = SqliteLog(settings.log_file)
    handler = Handler(log, Snowflake(1, clock_ms, waits).next)
    ada = (await handler.handle(Request(Register(handle="ada", name="Ada"), actor=0))).id
    stop = asyncio.Event()
    async with projector(settings, log) as runner:
        running = asyncio.create_task(runner.run(stop))
        board = BoardReader(settings.board_file)
        board.touched()
        post = await handler.handle(Request(CreatePost(text="hello"), actor=ada))
        async with asyncio.timeout(10):
            while any(board.position(p.name) < post.position for p in CATALOG):
                await log.wait(post.position, 0.01)
        path = CurrentFiles(settings.views_folder).path("posts")
        assert path is not None
        store = SqliteStore.open(path, kept(POSTS), read_only=True)
        assert (await posts.by_ids(store, [post.id]))[post.id].text == "hello"
        assert (Kind.POST, post.id) in (board.touched() or [])
        await store.close()
        stop.set()
        await running
    log.close()


async def test_only_one_projector_works_on_a_data_folder(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    log = SqliteLog(settings.log_file)
    async with projector(settings, log):
        with pytest.raises(BoardTaken, match="another projector is at work"):
            async with projector(settings, log):
                pass
    async with projector(settings, log) as runner:
        await runner.runner.start()
    log.close()
