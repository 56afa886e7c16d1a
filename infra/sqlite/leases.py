"""Machine-id leases in a SQLite file of the data folder, for the processes of one host."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from infra.ids.machine_lease import LeaseGrant, LeaseLost, LeaseStoreUnavailable, NoFreeMachine
from infra.sqlite.migrations import LEASES_SCHEMA

_INSERT_GRANT = """
INSERT INTO machine_leases (machine, owner, token, until_ms)
VALUES (:machine, :owner, (SELECT coalesce(max(token), 0) + 1 FROM machine_leases), :until_ms)
ON CONFLICT (machine) DO UPDATE
SET owner = excluded.owner, token = excluded.token, until_ms = excluded.until_ms
RETURNING token
"""


class SqliteLeases:
    """A `LeaseStore` in the file `path`, created at need.

    A connection lasts for one call: calls are rare (one in ten seconds for each process), and
    nothing is left open over a fork or for another thread.
    """

    def __init__(self, path: Path, lock_timeout_seconds: float = 5.0) -> None:
        """`lock_timeout_seconds` is how long a call waits for another process's call to end."""
        self._path = path
        self._lock_timeout_seconds = lock_timeout_seconds

    def grant_lease(self, block: range, owner: str, now_ms: int, until_ms: int) -> LeaseGrant:
        with self._write_transaction() as connection:
            held = {
                machine
                for (machine,) in connection.execute(
                    "SELECT machine FROM machine_leases WHERE until_ms > ?", (now_ms,)
                )
            }
            machine = next((number for number in block if number not in held), None)
            if machine is None:
                raise NoFreeMachine(
                    f"machine ids {block.start}-{block.stop - 1} are all held, see {self._path}: "
                    "stop a process that makes ids, or wait until the lease of a dead one expires"
                )
            row = {"machine": machine, "owner": owner, "until_ms": until_ms}
            (token,) = connection.execute(_INSERT_GRANT, row).fetchone()
            return LeaseGrant(machine, token)

    def extend_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        with self._write_transaction() as connection:
            changed = connection.execute(
                "UPDATE machine_leases SET until_ms = max(until_ms, ?) "
                "WHERE machine = ? AND token = ?",
                (until_ms, grant.machine_id, grant.fencing_token),
            ).rowcount
        if not changed:
            raise LeaseLost(
                f"machine id {grant.machine_id} was taken by another process after the lease with "
                f"token {grant.fencing_token} had expired: acquire a new one"
            )

    def end_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        with self._write_transaction() as connection:
            connection.execute(
                "UPDATE machine_leases SET until_ms = min(until_ms, ?) "
                "WHERE machine = ? AND token = ?",
                (until_ms, grant.machine_id, grant.fencing_token),
            )

    @contextmanager
    def _write_transaction(self) -> Iterator[sqlite3.Connection]:
        """One immediate transaction, on disk when it ends without an error."""
        try:
            with closing(
                sqlite3.connect(
                    self._path, timeout=self._lock_timeout_seconds, isolation_level=None
                )
            ) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                LEASES_SCHEMA.migrate(connection)
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise LeaseStoreUnavailable(f"the leases in {self._path}: {error}") from error
