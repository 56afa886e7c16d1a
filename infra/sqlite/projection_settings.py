"""What an operator decided about projections: which are paused, which events they leave out.

`views/controls.json`, replaced as a whole. Only the process that writes the views changes it; any
process reads it.
"""

from pathlib import Path

import msgspec

from infra.files.atomic_write import write_atomically


class ProjectionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`skips` are positions of events that the projection leaves out, live and in rebuilds."""

    paused: bool = False
    skips: frozenset[int] = frozenset()


_decode = msgspec.json.Decoder(dict[str, ProjectionSettings]).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class ProjectionSettingsFile:
    """The decisions in a folder of views."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "controls.json"

    def for_projection(self, projection: str) -> ProjectionSettings:
        """What was decided about a projection."""
        return self._read_all().get(projection, ProjectionSettings())

    def save_settings(self, projection: str, control: ProjectionSettings) -> None:
        """Decide anew."""
        write_atomically(self._path, _encode({**self._read_all(), projection: control}))

    def _read_all(self) -> dict[str, ProjectionSettings]:
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return {}
