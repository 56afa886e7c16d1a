"""A process that makes ids as fast as it can, for `starling ids compare`:
`python -m infra.dev.ids_client OUT SECONDS`, with its settings in the environment.

It says `ready` when its ids are open and begins at a line on its standard input. To OUT it writes
int64 triples: the id, when it was there (Unix ns), and for how many ns it was waited for. Where ids
were refused, the id is 0 and the wait is the time until the next attempt. The first reason goes to
stdout.
"""

import sys
import time
from array import array
from typing import Final

from events.ids.snowflake import SnowflakeError
from infra.log_of_record import open_log
from infra.settings import from_environment
from infra.wiring.id_sources import open_live_ids

_IDS_A_WRITE: Final = 256
_RETRY_SECONDS: Final = 0.005


def make_ids(out: str, seconds: float) -> None:
    """Make ids until the time is over."""
    settings = from_environment()
    reason = ""
    with (
        open(out, "wb", buffering=0) as file,
        open_log(settings) as log,
        open_live_ids(settings, log) as new_id,
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        now = time.time_ns()
        end = now + round(seconds * 1e9)
        made = array("q")
        while now < end:
            try:
                id = new_id()
            except SnowflakeError as error:
                reason = reason or str(error)
                id = 0
                time.sleep(_RETRY_SECONDS)
            before, now = now, time.time_ns()
            made.extend((id, now, now - before))
            if len(made) >= 3 * _IDS_A_WRITE:
                file.write(made)
                made = array("q")
        file.write(made)
    sys.stdout.write(reason)


if __name__ == "__main__":
    make_ids(sys.argv[1], float(sys.argv[2]))
