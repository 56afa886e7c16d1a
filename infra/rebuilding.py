"""Rebuilds as processes: started, watched, cancelled by whoever wants them.

`starling projections rebuild` runs several at once and shows how far they are; the projector runs
them in the background for the API and for projections whose version was raised.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from infra.settings import Settings
from infra.views.builds import ViewFiles
from projections.projection import Projection
from streams.builds import Build, BuildTaken

PATIENCE_SECONDS = 30.0
"""For a rebuild to notice that it was cancelled: it looks between batches."""


async def build(settings: Settings, projection: str, verify: bool) -> Build | None:
    """Rebuild a view beside the live one; its record, `ready` or `failed`, None if cancelled.

    Raises `BuildTaken`. Where this is cancelled, the process is killed, and what it built stays to
    be gone on with or to be discarded.
    """
    files = ViewFiles(settings.views_folder)
    with files.lock(projection):
        pass  # just to say so at once where somebody else is at it
    arguments = [projection, *(["--verify"] if verify else [])]
    status = await run_builder(settings, "infra.build_view", arguments)
    found = files.read(projection)
    if found is not None and (status, found.state) not in ((0, "ready"), (1, "failed")):
        raise ChildProcessError(f"the rebuild of {projection} ended with status {status}")
    return found


async def run_builder(settings: Settings, module: str, arguments: Sequence[str]) -> int:
    """Run a module that rebuilds a view; its exit status. Killed where this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the one who watches
        env=settings.environment(),
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def cancel(settings: Settings, projection: str) -> bool:
    """Take a rebuild back, whoever runs it, and leave no trace of it; False where there is none.

    Raises `BuildTaken` where its process doesn't stop.
    """
    files = ViewFiles(settings.views_folder)
    found = files.read(projection)
    if found is None:
        return False
    files.forget(found)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with files.lock(projection):
                files.discard(found)
                return True
        except BuildTaken:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


class Background:
    """The rebuilds that the projector runs: one at a time, so that the server keeps its pace."""

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._report = report
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(1)
        self.ready: list[str] = []
        """Projections whose new view can be switched to."""

    def begin(self, projection: Projection, verify: bool = False) -> bool:
        """Start a rebuild; False where one of this projection is under way here.

        Raises `BuildTaken` where it is under way elsewhere.
        """
        if projection.name in self._tasks:
            return False
        files = ViewFiles(self._settings.views_folder)
        with files.lock(projection.name):
            files.begin(projection, verify)  # so that whoever asked can watch it from now on
        work = self._run(projection.name, verify)
        self._tasks[projection.name] = asyncio.create_task(work)
        return True

    def take_up(self, projections: Sequence[Projection], due: Sequence[Projection]) -> None:
        """Begin the rebuilds that are due, and go on with those that were killed."""
        files = ViewFiles(self._settings.views_folder)
        for projection in projections:
            found = files.read(projection.name)
            if found is not None and found.state == "ready":
                self.ready.append(projection.name)
            elif projection in due or (found is not None and found.state != "failed"):
                with suppress(BuildTaken):
                    self.begin(projection, verify=found is not None and found.verify)

    async def close(self) -> None:
        """Stop them all. What they built stays, and the next projector goes on with it."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, name: str, verify: bool) -> None:
        try:
            async with self._turn:
                built = await build(self._settings, name, verify)
        except (BuildTaken, ChildProcessError) as error:
            self._report(str(error))
        else:
            if built is not None and built.state == "ready":
                self.ready.append(name)
            elif built is not None:
                self._report(f"the rebuild of {name} failed: {built.problem}")
        finally:
            del self._tasks[name]
