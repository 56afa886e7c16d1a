"""Which database file of each projection is the current one.

`views/current.json` maps a projection's name to a file beside it. It is replaced as a whole, so a
switch is one rename: a reader sees all of the old map or all of the new one.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from infra.files.atomic_write import write_atomically


class CurrentViewFiles:
    """The map from projections to their current files. Any process reads it, one writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._map_path = folder / "current.json"

    def read_names(self) -> dict[str, str]:
        """File names by projection; empty before the first projector ran."""
        try:
            return dict(json.loads(self._map_path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def path_of(self, projection: str) -> Path | None:
        """The current file of a projection, if it has one."""
        name = self.read_names().get(projection)
        return self._folder / name if name else None

    def switch_files(self, changes: Mapping[str, str]) -> None:
        """Make other files current, all of them in one step."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self.read_names(), **changes}, indent=2, sort_keys=True)
        write_atomically(self._map_path, f"{text}\n".encode(), durable=True)
