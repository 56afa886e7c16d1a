"""What a profile is: the adapters, the runner and the administration that belong together.

`infra.wiring.profile_choice` chooses one from the settings: `infra.embedded.profile` (SQLite and
shared memory on one machine) or `infra.streaming.profile` (MongoDB, with Kafka and Faust workers).
Neither knows the other, and no code above asks which one it has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from events.log import EventLog
from infra.log_of_record import open_log
from infra.process.child_run import announce_ready, send_heartbeats
from infra.process.supervisor import stop_on_signals
from infra.process.telemetry import begin_telemetry
from infra.settings import Settings

if TYPE_CHECKING:
    from limits.storage import Storage

    from api.accounts.account_store import AccountStore
    from api.accounts.token_store import TokenStore
    from api.clicks.click_publisher import SharedClicks
    from api.media.media_records import MediaRecords
    from api.oauth.app_store import AppStore
    from api.ports import WaitForPosition
    from api.search.search_index import SearchIndex
    from api.webhooks.webhook_store import WebhookStore
    from events.ids.id_blocks import BlockSource
    from infra.ids.machine_lease import LeaseStore
    from projections.home.home_timeline import HomeTimeline
    from projections.store import CurrentStores
    from streams.rebuild.admin import ProjectionAdmin
    from streams.rebuild.jobs import RebuildBackend


@dataclass(frozen=True, slots=True)
class ReadSide:
    """What an API process answers queries from; see `api.ports.Ports`."""

    views: "CurrentStores"
    home: "HomeTimeline"
    invalidations: Callable[[], Sequence[tuple[int, int]] | None]
    wait_for: "WaitForPosition"
    partition_positions: Callable[[str], Mapping[int, int]]
    """How far a projection's view is in each partition; empty where there is no feed."""
    heartbeat_age: Callable[[], float]
    """Seconds since the projector's last heartbeat; 0 where none is expected."""
    outdated_views: Callable[[], Awaitable[Mapping[str, int]]]
    log_problem: Callable[[], str | None]
    """Why the views can't be those of the log that is there; None while nothing is known of it."""


class Profile(Protocol):
    """One way to run Starling, for the settings it was made with."""

    @property
    def needs_projector(self) -> bool:
        """Whether `starling serve` starts `starling work`; Faust workers are started apart."""
        ...

    def open_accounts(self) -> AbstractContextManager["AccountStore"]:
        """The accounts, where all API processes reach them."""
        ...

    def open_tokens(self) -> AbstractContextManager["TokenStore"]:
        """The access tokens, beside the accounts."""
        ...

    def open_apps(self) -> AbstractContextManager["AppStore"]:
        """Apps and their codes, beside the access tokens."""
        ...

    def open_media_records(self) -> AbstractContextManager["MediaRecords"]:
        """The records of media, where all API processes reach them."""
        ...

    def open_search_index(self) -> AbstractContextManager["SearchIndex"]:
        """The words of posts and accounts, where all API processes reach them."""
        ...

    def open_webhooks(self) -> AbstractContextManager["WebhookStore"]:
        """The webhooks and their queue, where all API processes reach them."""
        ...

    def open_rate_limits(self) -> AbstractContextManager["Storage"]:
        """What rate limits count, for all API processes together; connects when first used."""
        ...

    def open_shared_clicks(self) -> AbstractContextManager["SharedClicks | None"]:
        """Where the clicks of all machines come together; None where one machine has them all."""
        ...

    def lease_store(self) -> "LeaseStore":
        """The leases of machine ids, where all processes that make ids reach them."""
        ...

    def open_ticket_servers(self) -> AbstractContextManager[tuple["BlockSource", "BlockSource"]]:
        """The ticket servers of odd and of even numbers; connect when first used."""
        ...

    def open_read_side(self, log: EventLog) -> AbstractAsyncContextManager[ReadSide]:
        """The current views of an API process, which compares them with its log."""
        ...

    def open_admin(
        self, log: EventLog, *, standalone: bool
    ) -> AbstractAsyncContextManager["ProjectionAdmin"]:
        """The administration. `standalone` commands need no running projector."""
        ...

    def open_rebuild_backend(self) -> AbstractAsyncContextManager["RebuildBackend"]:
        """Where views are rebuilt. Raises `FeedMissing`."""
        ...

    def run_worker(self, topic: str, lifeline: int | None) -> None:
        """Keep the views current until SIGTERM or Ctrl-C, or until the lifeline's other end is
        closed."""
        ...


class Runner(Protocol):
    """Moves the log into views."""

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerSignals:
    """What a worker's runner is opened with: `stop` may be set before it is open; `started` is
    called once the process has all that it needs, if only to wait for its turn."""

    stop: asyncio.Event
    started: Callable[[], None]


OpenRunner = Callable[
    [Settings, EventLog, WorkerSignals], AbstractAsyncContextManager[Runner | None]
]
"""Opens a runner; None where it was stopped before it could."""


async def run_log_worker(settings: Settings, open_runner: OpenRunner, lifeline: int | None) -> None:
    """`Profile.run_worker` for a runner that follows the log itself."""
    send_heartbeats(lifeline)
    settings.make_data_folder()
    begin_telemetry(settings, "projector")
    signals = WorkerSignals(asyncio.Event(), partial(announce_ready, lifeline))
    stop_on_signals(signals.stop.set, lifeline)
    with open_log(settings) as log:
        async with open_runner(settings, log, signals) as runner:
            if runner is not None:
                signals.started()
                await runner.run(signals.stop)
