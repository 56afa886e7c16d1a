"""The current read stores of an API process in the embedded profile.

The generation on the status page tells an API process that a projector switched to other files.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from infra.shared_memory.status_page import StatusPageReader
from infra.sqlite.view_files import ViewFiles
from projections.projection import Projection
from projections.store import ReadStore, StoreUnavailable

ViewOpener = Callable[[Path, Projection], ReadStore]
"""Opens a view's file for reading."""


class CurrentViews:
    """`Views` over the current files: notices a switch without a restart."""

    def __init__(
        self,
        folder: Path,
        projections: Sequence[Projection],
        board: StatusPageReader,
        opener: ViewOpener,
    ) -> None:
        self._files = ViewFiles(folder)
        self._projections = {projection.name: projection for projection in projections}
        self._status_page = board
        self._open_view = opener
        self._generation = board.generation
        self._stores: dict[str, ReadStore] = {}

    def current_store(self, projection: str) -> ReadStore:
        """The store of a projection's current version. Raises `StoreUnavailable`."""
        if self._status_page.generation != self._generation:
            self._generation = self._status_page.generation
            self._stores.clear()
        found = self._stores.get(projection)
        if found is None:
            found = self._stores[projection] = self._open_current(projection)
        return found

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
        raise StoreUnavailable(f"the view {projection!r} is still being made")

    def known_position(self, projection: str) -> int:
        """How far that store is known to be."""
        return self._status_page.position_of(projection)
