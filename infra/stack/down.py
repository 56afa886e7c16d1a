"""`starling down`: ends what `starling up` started."""

from collections.abc import Callable

from infra.settings import Settings
from infra.stack import processes

Say = Callable[[str], None]


def down(settings: Settings, say: Say) -> bool:
    """End it, the last that was started first; False where nothing of it was running.

    Raises `OSError`.
    """
    before = processes.read(settings.up_file)
    ended = False
    for process in reversed(before.processes if before is not None else ()):
        if process.stop():
            say(f"{process.name} ended")
            ended = True
    settings.up_file.unlink(missing_ok=True)
    return ended
