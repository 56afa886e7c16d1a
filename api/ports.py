"""The ports of the API, in one bundle; `infra/wiring/api_ports.py` fills it for an API process."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from api.accounts.access_tokens import AccessTokens
from api.accounts.account_store import AccountStore
from api.accounts.passwords import BoundedPasswordHasher
from api.accounts.recovery import RecoveryMail
from api.accounts.request_limits import RequestLimits
from api.accounts.throttle import LoginThrottle
from api.clicks.click_intake import ClickIntake
from api.media.media_records import MediaRecords
from api.media.media_store import ImageConverter, MediaStore
from api.oauth.app_store import AppStore
from api.search.search_follower import SearchFollower
from api.webhooks.webhook_store import WebhookPorts
from commands.handler import CommandHandler
from commands.references import ReferenceResolver
from events.log import EventLog, estimate_events
from events.sealed_text import OpenText, as_written
from projections.home.home_timeline import HomeTimeline
from projections.store import CurrentStores, ReadStore
from streams.rebuild.admin import ProjectionAdmin

MetricsAudience = Literal["local", "open", "off"]
"""Clients on this machine, all, or none at all."""


class ProjectionLag(NamedTuple):
    """How far a projection is: its position, and the log's; by partition where there is a feed.

    Its projector gave the last sign of life `silent_seconds` ago; infinite where there was none.
    """

    projection: str
    position: int
    head: int
    silent_seconds: float = 0.0
    partitions: Mapping[int, int] = {}
    position_step: int = 1
    """As in `LogFeatures`."""

    @property
    def events_behind(self) -> int:
        """About how many events of the log the projection has not applied yet."""
        return estimate_events(self.position, self.head, self.position_step)

    def partition_events_behind(self, number: int) -> int:
        """As `events_behind`, of one partition of the feed."""
        if not self.events_behind:
            return 0
        return estimate_events(self.partitions[number], self.head, self.position_step)

    @property
    def beyond_head(self) -> bool:
        """Whether the view shows more than the log holds: it was made from another one."""
        return self.position > self.head


ReadLags = Callable[[], Awaitable[Sequence[ProjectionLag]]]
"""Asks the log and the views how far each projection is. Raises `LogUnavailable`."""


VIEW_WAIT_SECONDS: Final = 2.0
"""How long a request may wait for views that have not seen a position yet."""


class WaitForPosition(Protocol):
    """Waits until read models have applied the log up to a position."""

    def __call__(
        self, projections: Collection[str], position: int, timeout: float, /
    ) -> Awaitable[bool]:
        """True once all of them have; False when `timeout` seconds pass first."""
        ...


class TimeTravelBusy(Exception):
    """Stores of a point in time can't be made in the time that a request may take; try again."""


class TimeTravel(Protocol):
    """Read models as they were at a point in time (`docs/adr/0023`)."""

    async def stores_at(
        self, projections: Collection[str], ms: int, reader: int
    ) -> Mapping[str, ReadStore]:
        """The stores of some projections as of a time in Unix ms, by their names.

        `reader` is the user who asks: one time after another is made for each.
        They are for reading right away: none of their methods waits, and after the caller's next
        other `await` they may be closed. Raises `TimeTravelBusy`, `StoreError`.
        """
        ...


@dataclass(frozen=True, slots=True)
class MediaPorts:
    """What images need of the outside."""

    store: MediaStore
    records: MediaRecords
    converter: ImageConverter
    max_bytes: int = 5 << 20
    """Bytes of an image that are taken at most."""


@dataclass(frozen=True, slots=True)
class HealthPorts:
    """What the health of the process and its figures are told from."""

    projection_lags: ReadLags
    outdated_views: Callable[[], Awaitable[Mapping[str, int]]]
    """Views that have tables of another version of the program, and the positions they stay at."""
    log_problem: Callable[[], str | None] = lambda: None
    """Why the views can't be those of the log; None while nothing is known of it."""
    ready_within: int = 10_000
    """Events of the log that a projection may be behind while the server calls itself ready."""
    metrics_audience: MetricsAudience = "local"
    """Who may read `/metrics` without a token of an operator."""
    render_shared_metrics: Callable[[], bytes] | None = None
    """The figures of all processes on the data folder; None where this one counts alone."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What an API process needs.

    `invalidations` gives the keys that the projector changed since its last call
    (`projections.invalidation`), or None where everything cached must go; the API is its only
    caller. `open_import_ids` opens a source of ids at given times (Unix ms), for as long as an
    import runs.
    """

    log: EventLog
    handler: CommandHandler
    references: ReferenceResolver
    views: CurrentStores
    time_travel: TimeTravel
    home: HomeTimeline
    accounts: AccountStore
    media: MediaPorts
    clicks: ClickIntake
    search: SearchFollower
    webhooks: WebhookPorts
    throttle: LoginThrottle
    recovery_mail: RecoveryMail
    tokens: AccessTokens
    apps: AppStore
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]
    open_import_ids: Callable[[], AbstractContextManager[Callable[[int], int]]]
    invalidations: Callable[[], Sequence[tuple[int, int]] | None]
    wait_for: WaitForPosition
    health: HealthPorts
    admin: ProjectionAdmin
    open_text: OpenText = as_written
    """Opens the texts that the log and the views hold, for what is shown to clients."""
    base_url: str = "http://127.0.0.1:8000"
    """Where clients reach the server; every absolute URL begins with it."""
    request_limits: RequestLimits | None = None
    """Counts requests against the limits on rates; None where there are none."""
    access_log: bool = False
    """Whether each request gets a line in the process's log."""
    passwords: BoundedPasswordHasher = field(default_factory=BoundedPasswordHasher)
