"""Which database file of each projection is the current one, and a door to them for readers.

`views/current.json` maps a projection's name to a file beside it. It is replaced as a whole, so a
switch is one rename: a reader sees all of the old map or all of the new one. The board's generation
tells API processes to look again.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.views.board import BoardReader
from projections.projection import Projection
from projections.store import ReadStore, StoreUnavailable

Opener = Callable[[Path, Projection], ReadStore]
"""Opens a view's file for reading."""


class CurrentFiles:
    """The map from projections to their current files. Any process reads it, one writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._map = folder / "current.json"

    def read(self) -> dict[str, str]:
        """File names by projection; empty before the first projector ran."""
        try:
            return dict(json.loads(self._map.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def path(self, projection: str) -> Path | None:
        """The current file of a projection, if it has one."""
        name = self.read().get(projection)
        return self._folder / name if name else None

    def switch(self, changes: Mapping[str, str]) -> None:
        """Make other files current, all of them in one step."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self.read(), **changes}, indent=2, sort_keys=True)
        file, name = tempfile.mkstemp(dir=self._folder, prefix=".current-")
        with os.fdopen(file, "w", encoding="utf-8") as new:
            new.write(text + "\n")
            new.flush()
            os.fsync(new.fileno())
        Path(name).replace(self._map)


class CurrentViews:
    """`Views` over the current files: notices a switch without a restart."""

    def __init__(
        self, folder: Path, projections: Sequence[Projection], board: BoardReader, opener: Opener
    ) -> None:
        self._files = CurrentFiles(folder)
        self._projections = {projection.name: projection for projection in projections}
        self._board = board
        self._open = opener
        self._generation = board.generation
        self._stores: dict[str, ReadStore] = {}

    def store(self, projection: str) -> ReadStore:
        """The store of a projection's current version. Raises `StoreUnavailable`."""
        if self._board.generation != self._generation:
            self._generation = self._board.generation
            self._stores.clear()
        found = self._stores.get(projection)
        if found is None:
            found = self._stores[projection] = self._opened(projection)
        return found

    def _opened(self, projection: str) -> ReadStore:
        path = self._files.path(projection)
        while path is not None and path.exists():
            try:
                return self._open(path, self._projections[projection])
            except StoreUnavailable:
                # It may have been switched away from and removed since it was looked up.
                before, path = path, self._files.path(projection)
                if path == before:
                    raise
        raise StoreUnavailable(f"the view {projection!r} is still being made")

    def position(self, projection: str) -> int:
        """How far that store is known to be."""
        return self._board.position(projection)
