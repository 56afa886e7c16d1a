"""What commands need, opened from the settings: the log, ids, accounts, the secret.

The half of the assembly that writes. API processes and `starling import` share it; the half that
reads (views, board, rings) stands on top of it in `infra.wiring.api_process`.
"""

import os
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from api.accounts.account_store import AccountStore
from commands.handler import CommandHandler
from commands.references import ReferenceResolver
from events.ids.snowflake import IMPORT_MACHINES, MachineIdLost, compose_id, decode_id, first_id_at
from events.log import EventLog
from infra.ids.machine_lease import (
    AcquireLease,
    LeaseError,
    LeaseStore,
    MachineLease,
    leased_snowflake,
    leased_timed_ids,
)
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.sqlite.accounts import SqliteAccounts
from infra.sqlite.leases import SqliteLeases


@dataclass(frozen=True, slots=True)
class WriteSide:
    """Everything that doing commands takes. `importing` opens a source of ids at given times."""

    log: EventLog
    handler: CommandHandler
    references: ReferenceResolver
    accounts: AccountStore
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]
    open_import_ids: Callable[[], AbstractContextManager[Callable[[int], int]]]


@contextmanager
def open_write_side(settings: Settings) -> Iterator[WriteSide]:
    """The log and all around it, in a data folder that is made where there is none.

    Open it in the process that uses it, after any fork. Raises `OSError`, `LogUnavailable`,
    `LeaseError`, `AccountsUnavailable`.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with (
        open_log(settings) as log,
        open_live_ids(settings, log) as new_id,
        _open_accounts(settings) as accounts,
    ):
        yield WriteSide(
            log=log,
            handler=CommandHandler(log, new_id),
            references=ReferenceResolver(log),
            accounts=accounts,
            clock_ms=clock_ms,
            new_id=new_id,
            open_import_ids=partial(open_import_ids, settings, log),
        )


@contextmanager
def _open_accounts(settings: Settings) -> Iterator[AccountStore]:
    """In the database of the views, for API processes on other machines need them, too."""
    if settings.views == "sqlite":
        opened: AccountStore = SqliteAccounts(settings.accounts_file)
        with closing(opened):
            yield opened
        return
    # The driver comes with the streaming profile alone.
    from infra.mongodb.accounts import MongoAccounts
    from infra.mongodb.connection import READ_SECONDS, open_database

    with open_database(settings.views, READ_SECONDS) as database:
        yield MongoAccounts(database)


def lease_store(settings: Settings) -> LeaseStore:
    """Who uses which machine id."""
    if settings.views == "sqlite":
        return SqliteLeases(settings.leases_file)
    from infra.mongodb.leases import MongoLeases

    return MongoLeases(settings.views)


@contextmanager
def open_live_ids(settings: Settings, log: EventLog) -> Iterator[Callable[[], int]]:
    """Ids for what happens now, with a machine id of this process's own. Raises `LeaseError`."""
    newest = _newest_live_id_ms(log, clock_ms())
    with leased_snowflake(_lease_acquirer(settings), clock_ms, time.sleep, newest) as ids:
        yield ids.next_id


@contextmanager
def open_import_ids(settings: Settings, log: EventLog) -> Iterator[Callable[[int], int]]:
    """Ids for what happened earlier. Raises `MachineIdLost` where too many import at once."""
    opened = leased_timed_ids(_lease_acquirer(settings), log.ids_between)
    try:
        ids = opened.__enter__()
    except LeaseError as error:
        # The API knows ids and no leases.
        raise MachineIdLost(str(error)) from error
    try:
        yield ids.id_at
    finally:
        opened.__exit__(None, None, None)


def signing_secret(settings: Settings) -> bytes:
    """What signs tokens: the setting, or the data folder's own, made when first asked for.

    Raises `OSError`.
    """
    if settings.secret is not None:
        return settings.secret.encode()
    path = settings.data / "secret"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return _create_secret(path)


def _create_secret(path: Path) -> bytes:
    """Several processes may come here at once: the first to link its file wins, for all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # readable by its owner alone
    try:
        with os.fdopen(file, "w", encoding="ascii") as new:
            new.write(secrets.token_hex(32))
            new.flush()
            os.fsync(new.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()
    return path.read_bytes()


def _lease_acquirer(settings: Settings) -> AcquireLease:
    owner = f"{socket.gethostname()}:{os.getpid()}"
    store = lease_store(settings)
    return partial(MachineLease.acquire, store, owner, clock=clock_ms, monotonic=time.monotonic)


def _newest_live_id_ms(log: EventLog, now_ms: int) -> int:
    """The time of the newest ordinary id, where that is later than now; otherwise now or earlier.

    Imports may lie in the future, in which nobody has to wait for them.
    """
    below: int | None = None
    now = first_id_at(now_ms)
    while (newest := log.newest_id(below)) >= now:
        parts = decode_id(newest)
        if parts.machine not in IMPORT_MACHINES:
            return parts.ms
        below = compose_id(parts.ms, IMPORT_MACHINES.start, 0)
    return 0
