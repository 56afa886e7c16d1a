"""Rebuilds of views in SQLite, each in a process of its own, which any process may start."""

from infra.process.child import run_child
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from projections.projection import Projection
from streams.rebuild.rebuild_record import RebuildRecord


class EmbeddedRebuildBackend:
    """`RebuildBackend` in the files of a data folder. The projector switches to them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._view_files = ViewFiles(settings.views_folder)

    async def begin_rebuild(self, projection: Projection, verify: bool) -> None:
        with self._view_files.lock_rebuild(projection.name):
            self._view_files.begin_rebuild(projection, verify)

    async def run_rebuild(self, projection: str, verify: bool) -> RebuildRecord | None:
        with self._view_files.lock_rebuild(projection):
            pass  # raises `RebuildInProgress` before a process is started in vain
        arguments = [projection, *(["--verify"] if verify else [])]
        environment = self._settings.to_environment()
        status = await run_child("infra.embedded.rebuild_process", arguments, environment)
        found = self._view_files.read_record(projection)
        if found is not None and (status, found.state) not in ((0, "ready"), (1, "failed")):
            raise ChildProcessError(f"the rebuild of {projection} ended with status {status}")
        return found

    async def read_record(self, projection: str) -> RebuildRecord | None:
        return self._view_files.read_record(projection)

    async def delete_record(self, record: RebuildRecord) -> None:
        self._view_files.delete_record(record)

    async def discard_rebuild(self, record: RebuildRecord) -> None:
        with self._view_files.lock_rebuild(record.projection):
            self._view_files.discard_rebuild(record)
