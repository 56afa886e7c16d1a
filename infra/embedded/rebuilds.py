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
from infra.sqlite.view_files import ViewFiles
from projections.projection import Projection
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

CANCEL_TIMEOUT_SECONDS = 30.0
"""For a rebuild to notice that it was cancelled: it looks between batches."""


async def run_rebuild(settings: Settings, projection: str, verify: bool) -> RebuildRecord | None:
    """Rebuild a view beside the live one; its record, `ready` or `failed`, None if cancelled.

    Raises `RebuildInProgress`. Where this is cancelled, the process is killed, and what it built
    stays to be gone on with or to be discarded.
    """
    files = ViewFiles(settings.views_folder)
    with files.lock_rebuild(projection):
        pass  # just to say so at once where somebody else is at it
    arguments = [projection, *(["--verify"] if verify else [])]
    status = await run_child(settings, "infra.embedded.rebuild_process", arguments)
    found = files.read_record(projection)
    if found is not None and (status, found.state) not in ((0, "ready"), (1, "failed")):
        raise ChildProcessError(f"the rebuild of {projection} ended with status {status}")
    return found


async def run_child(settings: Settings, module: str, arguments: Sequence[str]) -> int:
    """Run a module that rebuilds a view; its exit status. Killed where this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the one who watches
        env=settings.to_environment(),
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def cancel_rebuild(settings: Settings, projection: str) -> bool:
    """Take a rebuild back, whoever runs it, and leave no trace of it; False where there is none.

    Raises `RebuildInProgress` where its process doesn't stop.
    """
    files = ViewFiles(settings.views_folder)
    found = files.read_record(projection)
    if found is None:
        return False
    files.delete_record(found)
    end = time.monotonic() + CANCEL_TIMEOUT_SECONDS
    while True:
        try:
            with files.lock_rebuild(projection):
                files.discard_rebuild(found)
                return True
        except RebuildInProgress:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


class BackgroundRebuilds:
    """The rebuilds that the projector runs: one at a time, so that the server keeps its pace."""

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._report = report
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Semaphore(1)
        self.ready_projections: list[str] = []
        """Projections whose new view can be switched to."""

    def begin_rebuild(self, projection: Projection, verify: bool = False) -> bool:
        """Start a rebuild; False where one of this projection is under way here.

        Raises `RebuildInProgress` where it is under way elsewhere.
        """
        if projection.name in self._tasks:
            return False
        files = ViewFiles(self._settings.views_folder)
        with files.lock_rebuild(projection.name):
            files.begin_rebuild(
                projection, verify
            )  # so that whoever asked can watch it from now on
        work = self._run_in_turn(projection.name, verify)
        self._tasks[projection.name] = asyncio.create_task(work)
        return True

    def resume_pending(self, projections: Sequence[Projection], due: Sequence[Projection]) -> None:
        """Begin the rebuilds that are due, and go on with those that were killed."""
        files = ViewFiles(self._settings.views_folder)
        for projection in projections:
            found = files.read_record(projection.name)
            if found is not None and found.state == "ready":
                self.ready_projections.append(projection.name)
            elif projection in due or (found is not None and found.state != "failed"):
                with suppress(RebuildInProgress):
                    self.begin_rebuild(projection, verify=found is not None and found.verify)

    async def close(self) -> None:
        """Stop them all. What they built stays, and the next projector goes on with it."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run_in_turn(self, name: str, verify: bool) -> None:
        try:
            async with self._one_at_a_time:
                built = await run_rebuild(self._settings, name, verify)
        except (RebuildInProgress, ChildProcessError) as error:
            self._report(str(error))
        else:
            if built is not None and built.state == "ready":
                self.ready_projections.append(name)
            elif built is not None:
                self._report(f"the rebuild of {name} failed: {built.problem}")
        finally:
            del self._tasks[name]
