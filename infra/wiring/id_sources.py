"""Where the ids of new events come from, by the settings: leased machine ids, or blocks of ids."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from events.ids.id_blocks import BlockSource
from events.ids.snowflake import IMPORT_MACHINES, MachineIdLost, compose_id, decode_id, first_id_at
from events.log import EventLog
from infra.ids.block_stock import BlockStock, ids_of_blocks
from infra.ids.machine_lease import (
    AcquireLease,
    LeaseError,
    MachineLease,
    lease_owner,
    leased_snowflake,
    leased_timed_ids,
)
from infra.ids.ticket_servers import TicketServers
from infra.process.clock import clock_ms
from infra.settings import InvalidSetting, Settings
from infra.wiring.profile_choice import choose_profile


@contextmanager
def open_live_ids(settings: Settings, log: EventLog) -> Iterator[Callable[[], int]]:
    """Ids for what happens now, by the way that the settings name, later than those in the log.

    Raises `LeaseError`, `BlocksUnavailable`, and `InvalidSetting` where an id server is meant and
    none is named.
    """
    newest = _newest_live_id_ms(log, clock_ms())
    if settings.ids == "snowflake":
        with leased_snowflake(_lease_acquirer(settings), clock_ms, time.sleep, newest) as ids:
            yield ids.next_id
        return
    with (
        _open_block_source(settings) as source,
        ids_of_blocks(
            BlockStock(source, lease_owner(), clock_ms, time.monotonic), clock_ms, newest
        ) as ids_by_number,
    ):
        yield ids_by_number.next_id


@contextmanager
def open_import_ids(settings: Settings, log: EventLog) -> Iterator[Callable[[int], int]]:
    """Ids for what happened earlier. Raises `MachineIdLost` where too many import at once."""
    with ExitStack() as stack:
        try:
            ids = stack.enter_context(leased_timed_ids(_lease_acquirer(settings), log.ids_between))
        except LeaseError as error:
            # Commands know ids and no leases.
            raise MachineIdLost(str(error)) from error
        yield ids.id_at


@contextmanager
def _open_block_source(settings: Settings) -> Iterator[BlockSource]:
    from infra.ids.id_server_client import IdServerClient

    if settings.ids == "tickets":
        with choose_profile(settings).open_ticket_servers() as (odd, even):
            yield TicketServers(odd, even, time.monotonic, 1 if clock_ms() % 2 else 0)
        return
    if settings.id_server is None:
        raise InvalidSetting(
            "STARLING_IDS is 'global', so STARLING_ID_SERVER must name the id server, such as "
            "http://127.0.0.1:8010: `starling ids serve` is one"
        )
    with closing(IdServerClient(settings.id_server, settings.id_server_password)) as client:
        yield client


def _lease_acquirer(settings: Settings) -> AcquireLease:
    store, owner = choose_profile(settings).lease_store(), lease_owner()
    return partial(MachineLease.acquire, store, owner, clock=clock_ms, monotonic=time.monotonic)


def _newest_live_id_ms(log: EventLog, now_ms: int) -> int:
    """The time of the newest ordinary id, where that is later than now; otherwise now or earlier.

    Imported ids may lie in the future; new ids need not wait for those.
    """
    below: int | None = None
    now = first_id_at(now_ms)
    while (newest := log.newest_id(below)) >= now:
        parts = decode_id(newest)
        if parts.machine not in IMPORT_MACHINES:
            return parts.ms
        below = compose_id(parts.ms, IMPORT_MACHINES.start, 0)
    return 0
