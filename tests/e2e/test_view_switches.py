"""Switching to a rebuilt view under a running server, and whatever is killed meanwhile."""

import asyncio
from pathlib import Path

import httpx

from commands.handler import CommandHandler
from commands.post import CreatePost
from commands.request import CommandRequest
from commands.user import Register
from events.ids.generator import SnowflakeGenerator
from infra.embedded.current_views import CurrentViews
from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.shared_memory.status_page import StatusPageReader
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles, version_of_file
from projections import posts
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS, projection_named
from projections.store import ReadStore
from streams.projecting.dead_letters import tables_with_dead_letters
from tests.support.data_folders import (
    PROJECTED_EVENTS,
    check_views,
    create_data_folder,
    current_view_file,
    patched_environment,
    project_log,
    rebuild_views,
    tamper_with_view,
    view_file_name,
    view_file_names,
)
from tests.support.fresh_projection import wait_until_caught_up
from tests.support.server_processes import running_processes
from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import never_sleep


async def rebuild(settings: Settings, *names: str, **environ: str) -> str:
    """Run the program; what it said."""
    process = await asyncio.create_subprocess_exec(
        STARLING, "projections", "rebuild", *names,
        stderr=asyncio.subprocess.PIPE,
        env=starling_environment(STARLING_DATA=str(settings.data), **environ),
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def read_only(path: Path, projection: Projection) -> ReadStore:
    return SqliteReadStore.open(path, tables_with_dead_letters(projection), read_only=True)


async def test_running_api_processes_show_the_new_view_without_a_restart(
    data: Settings, tmp_path: Path
) -> None:
    tamper_with_view(
        current_view_file(data, "profiles"), "UPDATE profiles SET name = 'Mallory' WHERE user = 7"
    )
    async with running_processes(data.data) as running:
        await running.start_api()
        await running.start_projector()
        async with httpx.AsyncClient(base_url=running.url(), trust_env=False, timeout=60) as client:

            async def name() -> str:
                answer = await client.get("/v1/users/7")
                assert answer.status_code == 200, answer.text
                shown: str = answer.json()["name"]
                return shown

            assert await name() == "Mallory"
            await rebuild(data, "--all")
            assert await name() == "User 7"
            assert all(number == "2" for number in numbers(data))
            with open_log(data) as log:
                await wait_until_caught_up(data, log)
    await check_views(data, tmp_path)


def numbers(settings: Settings) -> list[str]:
    """Which of its kind each current view is."""
    return [
        current_view_file(settings, each.name).stem.rpartition("-")[2] for each in ALL_PROJECTIONS
    ]


async def test_readers_never_see_less_while_a_rebuild_runs(data: Settings) -> None:
    log = SqliteLog(data.log_path)
    handler = CommandHandler(log, SnowflakeGenerator(1, clock_ms, never_sleep).next_id)
    ada = (await handler.handle(CommandRequest(Register(handle="ada", name="Ada"), actor=0))).id
    stop, done = asyncio.Event(), asyncio.Event()
    made, seen, answers = [0], [0], [0]

    async def write() -> None:
        while not done.is_set():
            post = await handler.handle(CommandRequest(CreatePost(text=f"nr {made[0]}"), actor=ada))
            made[0] += post.changed

    async def read() -> None:
        status_page = StatusPageReader(data.status_page_file)
        views = CurrentViews(data.views_folder, ALL_PROJECTIONS, status_page, read_only)
        while not done.is_set():
            known, store = views.known_position("posts"), views.current_store("posts")
            count = (await posts.count_authored_posts(store, [ada]))[ada]
            assert count >= seen[0], "posts that were there are gone"
            types = ["post-created"]
            owed = [
                e
                for e in log.read_all(PROJECTED_EVENTS, types=types, until=known)
                if e.actor == ada
            ]
            assert count >= len(owed), "the view shows less than the board says"
            seen[0], answers[0] = count, answers[0] + 1
            await asyncio.sleep(0)
        status_page.close()

    async with open_projector(data, log) as projector:
        running = asyncio.create_task(projector.run(stop))
        others = [asyncio.create_task(write()), asyncio.create_task(read())]
        for number in (2, 3):
            outcomes = await rebuild_views(data, log, "posts", verify=number == 3)
            assert outcomes["posts"].done, outcomes
            assert current_view_file(data, "posts").name == view_file_name("posts", number)
        done.set()
        await asyncio.gather(*others)
        stop.set()
        await running
    log.close()
    assert made[0] > 10
    assert answers[0] > 10


async def test_a_first_view_that_is_being_rebuilt_is_left_to_its_rebuild(tmp_path: Path) -> None:
    settings = await asyncio.to_thread(create_data_folder, tmp_path / "data", 600)
    being_rebuilt = ViewFiles(settings.views_folder)
    with open_log(settings) as log:
        with being_rebuilt.lock_rebuild("posts"):
            await project_log(settings, log)
        made = set(being_rebuilt.current_files())
        assert made == {each.name for each in ALL_PROJECTIONS} - {"posts"}
    await rebuild(settings, "posts")
    with open_log(settings) as log:
        await project_log(settings, log)
    await check_views(settings, tmp_path)


BUMPED = """
from projections.profiles import ProfilesProjection
ProfilesProjection.version += 1
project = ProfilesProjection.project
def louder(self, recorded, view):
    project(self, recorded, view)
    for rows in view.changes.puts.values():
        for key, row in rows.items():
            if hasattr(row, 'name'):
                rows[key] = row._replace(name=row.name.upper())
ProfilesProjection.project = louder
"""


async def test_a_newer_version_is_rebuilt_in_the_background_while_the_old_one_serves(
    data: Settings, tmp_path: Path
) -> None:
    env = patched_environment(tmp_path / "patch", BUMPED, data)
    async with running_processes(data.data) as running:
        running.use_environment(env)
        await running.start_api()
        async with httpx.AsyncClient(base_url=running.url(), trust_env=False, timeout=60) as client:
            shown = (await client.get("/v1/users/7")).json()["name"]
            assert shown == "User 7", "before a projector came, the old view serves"
            await running.start_projector()
            async with asyncio.timeout(60):
                while shown == "User 7":
                    answer = await client.get("/v1/users/7")
                    assert answer.status_code == 200, answer.text
                    shown = answer.json()["name"]
            assert shown == "USER 7"
    assert (
        version_of_file(current_view_file(data, "profiles").name)
        == projection_named("profiles").version + 1
    )
    assert view_file_name("profiles") not in view_file_names(data)


async def test_a_rebuild_whose_projector_was_killed_is_resumed_by_the_next(
    data: Settings,
) -> None:
    view_files = ViewFiles(data.views_folder)
    [projection] = [each for each in ALL_PROJECTIONS if each.name == "posts"]
    with view_files.lock_rebuild("posts"):
        build = view_files.begin_rebuild(projection, verify=False)
        await view_files.open_for_loading(build, projection).close()
    with open_log(data) as log:
        async with open_projector(data, log) as projector:
            stop = asyncio.Event()
            running = asyncio.create_task(projector.run(stop))
            async with asyncio.timeout(60):
                while current_view_file(data, "posts").name != build.store:
                    await log.wait_for_events(log.head(), 0.05)
            stop.set()
            await running
