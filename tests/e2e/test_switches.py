"""Switching to a rebuilt view under a running server, and whatever is killed meanwhile."""

import asyncio
from pathlib import Path

import httpx

from commands.handle import Handler, Request
from commands.post import CreatePost
from commands.user import Register
from events.id_generator import Snowflake
from infra.command_side import clock_ms, open_log
from infra.conducting import Rebuilds
from infra.logs.sqlite import SqliteLog
from infra.projector import projector
from infra.settings import Settings
from infra.views.board import BoardReader
from infra.views.builds import ViewFiles, version_of
from infra.views.current import CurrentViews
from infra.views.sqlite import SqliteStore
from infra.workshops import FileWorkshop
from projections import posts
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import ReadStore
from streams.dead_letters import kept
from tests.fresh import caught_up
from tests.processes import processes
from tests.program import STARLING, environment
from tests.rebuilding import SETTLED, check_views, files, projected, tamper, view, with_patch, world


async def rebuild(settings: Settings, *names: str, **environ: str) -> str:
    """Run the program; what it said."""
    process = await asyncio.create_subprocess_exec(
        STARLING, "projections", "rebuild", *names,
        stderr=asyncio.subprocess.PIPE,
        env=environment(STARLING_DATA=str(settings.data), **environ),
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def read_only(path: Path, projection: Projection) -> ReadStore:
    return SqliteStore.open(path, kept(projection), read_only=True)


def waits(seconds: float) -> None:
    raise AssertionError(f"nobody waits {seconds} s here")


async def test_running_api_processes_show_the_new_view_without_a_restart(
    data: Settings, tmp_path: Path
) -> None:
    tamper(view(data, "profiles"), "UPDATE profiles SET name = 'Mallory' WHERE user = 7")
    async with processes(data.data) as running:
        await running.api()
        await running.projector()
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
                await caught_up(data, log)
    await check_views(data, tmp_path)


def numbers(settings: Settings) -> list[str]:
    """Which of its kind each current view is."""
    return [view(settings, each.name).stem.rpartition("-")[2] for each in CATALOG]


async def test_readers_never_see_less_while_a_rebuild_runs(data: Settings) -> None:
    log = SqliteLog(data.log_file)
    handler = Handler(log, Snowflake(1, clock_ms, waits).next)
    ada = (await handler.handle(Request(Register(handle="ada", name="Ada"), actor=0))).id
    stop, done = asyncio.Event(), asyncio.Event()
    made, seen, answers = [0], [0], [0]

    async def write() -> None:
        while not done.is_set():
            post = await handler.handle(Request(CreatePost(text=f"nr {made[0]}"), actor=ada))
            made[0] += post.changed

    async def read() -> None:
        board = BoardReader(data.board_file)
        views = CurrentViews(data.views_folder, CATALOG, board, read_only)
        while not done.is_set():
            known, store = views.position("posts"), views.store("posts")
            count = (await posts.authored(store, [ada]))[ada]
            assert count >= seen[0], "posts that were there are gone"
            types = ["post-created"]
            owed = [e for e in log.read_all(SETTLED, types=types, until=known) if e.actor == ada]
            assert count >= len(owed), "the view shows less than the board says"
            seen[0], answers[0] = count, answers[0] + 1
            await asyncio.sleep(0)
        board.close()

    async with projector(data, log) as here:
        running = asyncio.create_task(here.run(stop))
        others = [asyncio.create_task(write()), asyncio.create_task(read())]
        for number in (2, 3):
            rebuilds = Rebuilds(["posts"], verify=number == 3, jobs=1)
            outcomes = await rebuilds.run(FileWorkshop(data), lambda what, total: lambda done: None)
            assert outcomes["posts"].done, outcomes
            assert view(data, "posts").name == f"posts-1-{number}.sqlite"
        done.set()
        await asyncio.gather(*others)
        stop.set()
        await running
    log.close()
    assert made[0] > 10
    assert answers[0] > 10


async def test_a_first_view_that_is_being_rebuilt_is_left_to_its_rebuild(tmp_path: Path) -> None:
    settings = await asyncio.to_thread(world, tmp_path / "data", 600)
    being_rebuilt = ViewFiles(settings.views_folder)
    with open_log(settings) as log:
        with being_rebuilt.lock("posts"):
            await projected(settings, log)
        made = set(being_rebuilt.current.read())
        assert made == {each.name for each in CATALOG} - {"posts"}
    await rebuild(settings, "posts")
    with open_log(settings) as log:
        await projected(settings, log)
    await check_views(settings, tmp_path)


BUMPED = """
from projections.profiles import Profiles
Profiles.version = 2
project = Profiles.project
def louder(self, recorded, view):
    project(self, recorded, view)
    for rows in view.changes.puts.values():
        for key, row in rows.items():
            if hasattr(row, 'name'):
                rows[key] = row._replace(name=row.name.upper())
Profiles.project = louder
"""


async def test_a_raised_version_is_built_in_the_background_while_the_old_one_serves(
    data: Settings, tmp_path: Path
) -> None:
    env = with_patch(tmp_path / "patch", BUMPED, data)
    async with processes(data.data) as running:
        running.use(env)
        await running.api()
        async with httpx.AsyncClient(base_url=running.url(), trust_env=False, timeout=60) as client:
            shown = (await client.get("/v1/users/7")).json()["name"]
            assert shown == "User 7", "before a projector came, the old view serves"
            await running.projector()
            async with asyncio.timeout(60):
                while shown == "User 7":
                    answer = await client.get("/v1/users/7")
                    assert answer.status_code == 200, answer.text
                    shown = answer.json()["name"]
            assert shown == "USER 7"
    assert version_of(view(data, "profiles").name) == 2
    assert "profiles-1.sqlite" not in files(data)


async def test_a_rebuild_whose_projector_was_killed_is_gone_on_with_by_the_next(
    data: Settings,
) -> None:
    view_files = ViewFiles(data.views_folder)
    [projection] = [each for each in CATALOG if each.name == "posts"]
    with view_files.lock("posts"):
        build = view_files.begin(projection, verify=False)
        await view_files.load(build, projection).close()
    with open_log(data) as log:
        async with projector(data, log) as here:
            stop = asyncio.Event()
            running = asyncio.create_task(here.run(stop))
            async with asyncio.timeout(60):
                while view(data, "posts").name != build.store:
                    await log.wait(log.head(), 0.05)
            stop.set()
            await running
