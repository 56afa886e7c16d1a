"""The projector brings the views up to the log, says so, and takes up where it was killed."""

import asyncio
from pathlib import Path

import pytest

from commands.handler import CommandHandler
from commands.post import CreatePost
from commands.request import CommandRequest
from commands.user import Register
from events.ids.generator import SnowflakeGenerator
from infra.embedded.projector import open_projector
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.shared_memory.status_page import ProjectorAlreadyRunning, StatusPageReader
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles
from projections import posts
from projections.invalidation import InvalidationKind
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from streams.projecting.dead_letters import tables_with_dead_letters
from tests.support.waiting import PATIENCE_SECONDS, never_sleep

POSTS: Projection = next(projection for projection in ALL_PROJECTIONS if projection.name == "posts")


async def test_a_post_can_be_read_once_the_status_page_shows_its_position(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    log = SqliteLog(settings.log_path)
    handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
    ada = (await handler.handle(CommandRequest(Register(handle="ada", name="Ada"), actor=0))).id
    stop = asyncio.Event()
    async with open_projector(settings, log) as runner:
        running = asyncio.create_task(runner.run(stop))
        status_page = StatusPageReader(settings.status_page_file)
        status_page.poll_invalidations()
        post = await handler.handle(CommandRequest(CreatePost(text="hello"), actor=ada))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(status_page.position_of(p.name) < post.position for p in ALL_PROJECTIONS):
                await log.wait_for_events(post.position, 0.01)
        path = ViewFiles(settings.views_folder).current_path("posts")
        assert path is not None
        store = SqliteReadStore.open(path, tables_with_dead_letters(POSTS), read_only=True)
        assert (await posts.read_posts(store, [post.id]))[post.id].text == "hello"
        assert (InvalidationKind.POST, post.id) in (status_page.poll_invalidations() or [])
        await store.close()
        stop.set()
        await running
    log.close()


async def test_only_one_projector_works_on_a_data_folder(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    log = SqliteLog(settings.log_path)
    async with open_projector(settings, log):
        with pytest.raises(ProjectorAlreadyRunning, match="another projector is at work"):
            async with open_projector(settings, log):
                pass
    async with open_projector(settings, log) as runner:
        await runner.runner.start()
    log.close()
