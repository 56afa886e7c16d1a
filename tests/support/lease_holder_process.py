"""A process that holds a machine id and makes ids on demand, for tests that kill it.

    python -m tests.support.lease_holder_process PATH BLOCK SECONDS

Takes a lease on one of the first BLOCK machine ids in the file PATH, for SECONDS, and says so on
stdout in one JSON line: {"machine", "token", "from_ms"}, or {"refused"}. Then answers each number
on stdin with a line {"ids"} of so many ids, or {"lost"}. Ends, giving the lease back, with stdin.
"""

import json
import os
import sys
import time
from pathlib import Path

from events.ids.snowflake import MachineIdLost
from infra.ids.machine_lease import MachineLease, NoFreeMachine, leased_snowflake
from infra.sqlite.leases import SqliteLeases


def print_json(**line: object) -> None:
    """One line of JSON."""
    print(json.dumps(line), flush=True)  # noqa: T201 - stdout is this program's interface


def wall_ms() -> int:
    """Now in Unix ms."""
    return time.time_ns() // 1_000_000


def main(path: str, block: str, seconds: str) -> None:
    """See the module."""
    leases: list[MachineLease] = []

    def acquire(_: range) -> MachineLease:
        leases.append(
            MachineLease.acquire(
                SqliteLeases(Path(path), lock_timeout_seconds=30.0),
                f"pid {os.getpid()}", range(int(block)), wall_ms, time.monotonic, float(seconds),
            )
        )  # fmt: skip
        return leases[0]

    try:
        with leased_snowflake(acquire, wall_ms, time.sleep) as ids:
            print_json(
                machine=leases[0].machine_id,
                token=leases[0].fencing_token,
                from_ms=leases[0].from_ms,
            )
            for line in sys.stdin:
                try:
                    print_json(ids=ids.next_ids(int(line)))
                except MachineIdLost as error:
                    print_json(lost=str(error))
    except NoFreeMachine as error:
        print_json(refused=str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
