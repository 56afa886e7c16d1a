"""What `make bench` measured, as far as a plan multiplies it.

`measured.json` beside this file is written by `make bench` together with the table of
`docs/benchmarks.md`, and ships with the program. A file that another machine's `make bench` wrote
can be read in its place. A figure is found by its section, by what it says of itself and by what
was measured; where a row stands several times, beside several peers, the figure is the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

MEASURED_FILE: Final = Path(__file__).with_name("measured.json")


class InvalidFigures(Exception):
    """A file that holds no figures, or lacks one; the message says which."""


class MeasuredFigure(msgspec.Struct, frozen=True):
    """Our side of a row of the table."""

    section: str
    what: str
    ours: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class MeasuredFigures:
    """Rates a second of one process, and seconds of one core."""

    log_events: float
    relay_events: float
    worker_events: float
    """Of one Faust worker, into all views."""
    deliveries: float
    """Into rings, by one projector."""
    api_core_seconds: float
    """Of an API process, for a request of the mix at the highest rate that was tried."""
    projector_core_seconds: float
    """Of the embedded projector, for the same."""
    image_core_seconds: float
    """To check, turn and scale a photograph of 1600 x 1200."""


def read_figures(path: Path | None = None) -> MeasuredFigures:
    """The figures of a file; those that the program came with for None. Raises `InvalidFigures`."""
    path = path or MEASURED_FILE
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[MeasuredFigure])
    except (OSError, msgspec.DecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidFigures(f"{path} holds no figures of `make bench`: {reason}") from error

    def find(section: str, what: str, ours: str, unit: str) -> float:
        for row in reversed(rows):
            if (
                (row.section, row.unit) == (section, unit)
                and row.what.startswith(what)
                and row.ours.startswith(ours)
                and row.value > 0
            ):
                return row.value
        raise InvalidFigures(
            f"{path} lacks the figure '{what}' ({ours}) in {unit} of the section '{section}': "
            "let `make bench` write it anew"
        )

    mix, cost = "The mission's mix", "CPU a request of the mix, "
    return MeasuredFigures(
        log_events=find("The log", "durable appends, ", "SqliteLog.append", "events/s"),
        relay_events=find("The relay to Kafka", "log to Kafka", "starling relay", "events/s"),
        worker_events=find(
            "Faust workers and MongoDB", "projecting into all ", "one Faust worker", "events/s"
        ),
        deliveries=find("Home timelines", "timeline deliveries", "rings of ", "entries/s"),
        api_core_seconds=find(mix, cost + "API process", "starling serve", "us") / 1e6,
        projector_core_seconds=find(mix, cost + "projector", "starling serve", "us") / 1e6,
        image_core_seconds=1 / find("Images", "JPEG of ", "an image worker", "images/s"),
    )
