"""`starling down`: ends what `starling up` started."""

from collections.abc import Callable

from infra.dev import stack_record
from infra.settings import Settings

Say = Callable[[str], None]


def stop_stack(settings: Settings, say: Say) -> bool:
    """End it, the last that was started first; False where nothing of it was running.

    Raises `OSError`.
    """
    before = stack_record.read_stack_record(settings.stack_file)
    ended = False
    for process in reversed(before.processes if before is not None else ()):
        if process.stop():
            say(f"{process.name} ended")
            ended = True
    settings.stack_file.unlink(missing_ok=True)
    return ended
