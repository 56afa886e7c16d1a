"""The current views in SQLite, for the processes that read them.

An API process keeps them open: the generation on the status page tells it that the projector
switched to other files. Every other process opens the current file of a projection when it needs
it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.settings import Settings
from infra.shared_memory.status_page import StatusPageReader
from infra.sqlite.old_schema_store import OldSchemaStore, open_any_version
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles
from projections.projection import Projection
from projections.store import ReadStore, StoreError, StoreUnavailable, ViewAbsent

ViewOpener = Callable[[Path, Projection], ReadStore]
"""Opens a view's file for reading."""


class CurrentViews:
    """`CurrentStores` over the current files: follows a switch without a restart."""

    def __init__(
        self,
        folder: Path,
        projections: Sequence[Projection],
        status_page: StatusPageReader,
        open_view: ViewOpener = open_any_version,
    ) -> None:
        """Raises `StoreUnavailable` where the list of current files is damaged."""
        self._files = ViewFiles(folder)
        self._files.current_files()
        self._projections = {projection.name: projection for projection in projections}
        self._status_page = status_page
        self._open_view = open_view
        self._generation = status_page.generation
        self._stores: dict[str, ReadStore] = {}

    def current_store(self, projection: str) -> ReadStore:
        """The store of a projection's current version. Raises `ViewAbsent`, `StoreUnavailable`."""
        if self._status_page.generation != self._generation:
            self._generation = self._status_page.generation
            self._stores.clear()
        found = self._stores.get(projection)
        if found is None:
            found = self._stores[projection] = self._open_current(projection)
        return found

    def known_position(self, projection: str) -> int:
        """The position up to which that store is known to be current."""
        return self._status_page.position_of(projection)

    async def outdated_views(self) -> Mapping[str, int]:
        """Views with tables of another version of the program, and the positions they stay at.

        Raises `ViewAbsent` where a view is not there yet.
        """
        return {
            name: await store.read_checkpoint()
            for name in self._projections
            if isinstance(store := self.current_store(name), OldSchemaStore)
        }

    def _open_current(self, projection: str) -> ReadStore:
        path = self._files.current_path(projection)
        while path is not None and path.exists():
            try:
                return self._open_view(path, self._projections[projection])
            except StoreUnavailable:
                # It may have been switched away from and removed since it was looked up.
                before, path = path, self._files.current_path(projection)
                if path == before:
                    raise
        raise ViewAbsent(f"the view {projection!r} is still being built")


def open_current_view(settings: Settings, projection: Projection) -> SqliteReadStore | None:
    """A projection's current view, to be read; None where it has none that this program can read.

    Raises `StoreUnavailable`.
    """
    path = ViewFiles(settings.views_folder).current_path(projection.name)
    if path is None or not path.exists():
        return None
    try:
        return open_any_version(path, projection)
    except StoreUnavailable:
        raise
    except StoreError:
        return None
