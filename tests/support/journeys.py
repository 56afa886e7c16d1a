"""What one request goes through: real processes of both profiles, traced while it is under way.

Each journey is taken after the same has been done before it, so that processes, connections and
caches stand as they do in a server that has been running for a while.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import running_engine
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.shared_memory.status_page import StatusPageReader
from tests.support.call_trace import CallTrace, FileUse
from tests.support.data_folders import patched_environment, patched_path
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.made_up_events import append_made_up
from tests.support.retrying_client import RetryingClient
from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.starling_program import STARLING, killed_at_exit
from tests.support.waiting import wait_until

Journey = list[FileUse]

API_PROCESS = "infra.entrypoints.api_process"


async def embedded_journeys(folder: Path) -> Mapping[str, Journey]:
    """Those of the embedded profile, on a data folder of their own in `folder`."""
    trace, settings = CallTrace(folder / "trace"), Settings(data=folder / "data")
    environment = patched_environment(folder / "patch", trace.sitecustomize, settings)
    async with _small_world(settings, environment) as (author, reader):
        status_page = StatusPageReader(settings.status_page_file)

        async def post_and_project() -> int:
            answer = await author.request("POST", "/v1/posts", {"text": "hello"})
            answered = time.monotonic_ns()
            await wait_until(lambda: status_page.position_of("timeline") >= answer.position)
            return answered

        for _ in range(2):  # the first read asks for a ring, which the projector builds
            await post_and_project()
            await reader.request("GET", "/v1/timelines/home")
            await asyncio.sleep(1)
        with trace.recording() as posting:
            answered = await post_and_project()
        with trace.recording() as reading:
            await reader.request("GET", "/v1/timelines/home")
        with trace.recording() as rebuilding:
            process = await asyncio.create_subprocess_exec(
                STARLING, "projections", "rebuild", "posts", env=environment,
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, said = await process.communicate()
            assert process.returncode == 0, said
        status_page.close()
    return {
        "POST to the log": [
            use for use in posting if use.process == API_PROCESS and use.nanoseconds <= answered
        ],
        "event to home timeline": [use for use in posting if use.process != API_PROCESS],
        "GET home": [use for use in reading if use.process == API_PROCESS],
        "rebuild a view": [use for use in rebuilding if use.process != API_PROCESS],
    }


async def relay_journey(folder: Path) -> Journey:
    """From the log over Kafka into MongoDB. Raises `EngineMissing`."""
    trace = CallTrace(folder / "trace")
    with (
        running_engine(KafkaBroker(folder / "kafka")) as kafka,
        running_engine(MongoServer(folder / "mongodb")) as mongodb,
    ):
        views = mongodb.address("journey")
        settings = Settings(data=folder / "data", views=views, kafka=kafka.address)
        settings.data.mkdir()
        stack = StreamingStack(settings, fresh_topic(2))
        ensure_topic(kafka.address, stack.topic)
        path = patched_path(folder / "patch", trace.sitecustomize)
        environment = {**stack.profile_environment(), "PYTHONPATH": path}
        topic = ("--topic", stack.topic.name)
        relay = (STARLING, "relay", *topic, "--partitions", str(stack.topic.partitions))
        with (
            open_log(settings) as log,
            killed_at_exit(relay, environment, stack.output_file),
            killed_at_exit((STARLING, "work", *topic), environment, stack.output_file),
        ):
            await append_made_up(log, 0, 50)
            await stack.wait_until_projected(log.head())
            with trace.recording() as relaying:
                await append_made_up(log, 50, 51)  # a post
                await stack.wait_until_projected(log.head())
    return relaying


@asynccontextmanager
async def _small_world(
    settings: Settings, environment: Mapping[str, str]
) -> AsyncIterator[tuple[RetryingClient, RetryingClient]]:
    """An author and a follower of the author, signed in at one API process beside a projector."""
    async with AsyncExitStack() as stack:
        processes = await stack.enter_async_context(running_processes(settings.data))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await _start_server(processes, environment)
        author, reader = (
            RetryingClient(session, processes.url, handle) for handle in ("author", "reader")
        )
        await author.register()
        await reader.register()
        await reader.request("PUT", f"/v1/users/{author.id}/follow")
        yield author, reader


async def _start_server(processes: ServerProcesses, environment: Mapping[str, str]) -> None:
    processes.use_environment(environment)
    await processes.start_api()
    await processes.start_projector()


@asynccontextmanager
async def temporary_folder() -> AsyncIterator[Path]:
    """A folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="starling-journeys-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
