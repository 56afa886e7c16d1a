"""The one place that chooses adapters: the profile, and what API processes and imports are made of.

Importing it is cheap: the framework and the drivers of a profile are imported by the functions that
open them, so `starling --help` and one profile's processes never pay for the other's packages.
"""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.http.request_log import note_correlation
from commands.handler import Append, CommandHandler
from commands.references import ReferenceResolver
from events.ids.id_blocks import BlockSource
from events.ids.snowflake import IMPORT_MACHINES, MachineIdLost, compose_id, decode_id, first_id_at
from events.log import AppendRequest, AppendResult, EventLog, run_read
from events.sealed_text import OpenText
from infra.encryption.text_cipher import TextCipher
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
from infra.log_of_record import open_log, open_log_for_questions, open_text_keys
from infra.process.clock import clock_ms
from infra.process.private_files import read_or_make_secret
from infra.process.tracing import traced_append
from infra.profile import Profile, ReadSide
from infra.setting_checks import split_list
from infra.settings import InvalidSetting, Settings

if TYPE_CHECKING:
    from api.accounts.access_tokens import AccessTokens
    from api.accounts.account_store import AccountStore
    from api.accounts.erasure import Erasure
    from api.accounts.request_limits import RequestLimits
    from api.accounts.throttle import LoginThrottle
    from api.clicks.click_intake import ClickIntake
    from api.media.media_records import MediaRecords
    from api.media.media_store import MediaStore
    from api.oauth.app_store import AppStore
    from api.ports import Ports, ReadLags
    from api.search.search_follower import SearchFollower
    from api.webhooks.webhook_store import WebhookPorts
    from streams.rebuild.admin import ProjectionAdmin


_SECRET: Final = re.compile(rb"[0-9a-f]{64}")


def choose_profile(settings: Settings) -> Profile:
    """The profile that the settings name: by where the views are."""
    if settings.mongodb is None:
        from infra.embedded.profile import EmbeddedProfile

        return EmbeddedProfile(settings)
    from infra.streaming.profile import StreamingProfile

    return StreamingProfile(settings)


@asynccontextmanager
async def open_admin(
    settings: Settings, for_questions: bool = False
) -> AsyncIterator["ProjectionAdmin"]:
    """The administration of projections for the command line, which needs no running projector.

    `for_questions` alone, the data folder may be a copy that can't be written. Raises
    `LogUnavailable`.
    """
    with (open_log_for_questions if for_questions else open_log)(settings) as log:
        async with choose_profile(settings).open_admin(log, standalone=True) as admin:
            yield admin


def open_media_store(settings: Settings) -> "MediaStore":
    """Where images are kept. Raises `InvalidSetting` where a package for that is missing."""
    where = settings.media or str(settings.data / "media")
    if not where.startswith("s3://"):
        from infra.files.media_folder import MediaFolder

        return MediaFolder(Path(where))
    try:
        from infra.s3.media_bucket import MediaBucket
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"STARLING_MEDIA names an S3 store, and the package {error.name} is missing: "
            "pip install 'starling-feed[s3]'"
        ) from error
    return MediaBucket(where)


@asynccontextmanager
async def open_api_ports(settings: Settings) -> AsyncIterator["Ports"]:
    """The ports of one API process. Raises what opening its parts raises."""
    from api.http.position_waits import PositionWaits
    from api.ports import Ports
    from infra.embedded.time_travel import PointInTimeViews
    from infra.images.image_workers import ImageWorkers
    from infra.process.shared_metrics import metrics_renderer
    from infra.recovery_mail import open_recovery_mail

    profile = choose_profile(settings)
    with open_write_side(settings) as side, _open_tokens_and_apps(settings) as (tokens, apps):
        async with (
            _following_the_log(settings, profile, side) as (media_store, search, webhooks),
            open_click_intake(settings, side.log) as clicks,
            aclosing(ImageWorkers(settings.image_workers)) as image_converter,
            profile.open_read_side(side.log) as read_side,
            profile.open_admin(side.log, standalone=False) as admin,
            aclosing(PointInTimeViews(settings, side.log, admin.skipped_positions)) as past,
        ):
            yield Ports(
                log=side.log,
                handler=side.handler,
                references=side.references,
                views=read_side.views,
                time_travel=past,
                home=read_side.home,
                accounts=side.accounts,
                media_store=media_store, media_records=side.media_records,
                image_converter=image_converter, clicks=clicks,
                search=search,
                webhooks=webhooks,
                media_bytes=settings.media_bytes,
                throttle=side.throttle,
                recovery_mail=open_recovery_mail(settings, signing_secret(settings)),
                request_limits=side.request_limits,
                tokens=tokens, apps=apps,
                clock_ms=clock_ms,
                new_id=side.new_id, open_import_ids=side.open_import_ids,
                invalidations=read_side.invalidations,
                wait_for=PositionWaits(read_side.views.known_position, read_side.wait_for),
                projection_lags=_lag_reader(side.log, read_side),
                outdated_views=read_side.outdated_views,
                log_problem=read_side.log_problem,
                admin=admin,
                open_text=side.open_text,
                access_log=settings.access_log,
                metrics_audience=settings.metrics,
                render_shared_metrics=metrics_renderer(settings.metrics_folder),
                base_url=settings.base_url,
            )  # fmt: skip


@contextmanager
def _open_tokens_and_apps(settings: Settings) -> Iterator[tuple["AccessTokens", "AppStore"]]:
    from api.accounts.access_tokens import AccessTokens
    from api.accounts.signed_tokens import SignedTokens

    signed = SignedTokens(signing_secret(settings))
    profile = choose_profile(settings)
    with profile.open_tokens() as store, profile.open_apps() as apps:
        yield AccessTokens(store, clock_ms, time.monotonic, signed), apps


@asynccontextmanager
async def _following_the_log(
    settings: Settings, profile: Profile, side: "WriteSide"
) -> AsyncIterator[tuple["MediaStore", "SearchFollower", "WebhookPorts"]]:
    """What was deleted is removed, and words are indexed, while it is open."""
    from api.media.media_follower import MediaFollower
    from api.search.search_follower import SearchFollower
    from api.webhooks.webhook_store import WebhookPorts
    from infra.http_client.endpoint_client import EndpointClient

    store, loopback = open_media_store(settings), settings.webhooks_loopback
    media = MediaFollower(side.log, side.media_records, store, clock_ms)
    with profile.open_search_index() as index, profile.open_webhooks() as webhooks:
        search = SearchFollower(side.log, index, side.open_text)
        async with side.erasure.running(), media.running(), search.running():
            endpoints = EndpointClient(loopback)
            yield store, search, WebhookPorts(webhooks, endpoints.post, loopback)


@asynccontextmanager
async def open_click_intake(settings: Settings, log: EventLog) -> AsyncIterator["ClickIntake"]:
    """Where clicks go, looked after while it is open. Raises `ClicksUnavailable`."""
    from api.clicks.click_intake import ClickIntake
    from api.clicks.click_publisher import ClickPublisher
    from api.clicks.click_upkeep import ClickUpkeep
    from infra.sqlite.click_log import CLICKS_FILE, SqliteClickLog

    key = blake2b(signing_secret(settings), person=b"sessions").digest()
    shared_clicks = choose_profile(settings).open_shared_clicks()
    with closing(SqliteClickLog(settings.data / CLICKS_FILE)) as clicks, shared_clicks as shared:
        upkeep = ClickUpkeep(log, clicks, settings.clicks_days, clock_ms).running()
        publisher = ClickPublisher(clicks, shared.feed, key).running() if shared else nullcontext()
        async with upkeep, publisher:
            figures, sample = shared.figures if shared else clicks, settings.clicks_sample
            yield ClickIntake(clicks, figures, key, clock_ms, sample)


def _lag_reader(log: EventLog, read_side: ReadSide) -> "ReadLags":
    from api.ports import ProjectionLag
    from projections.registry import ALL_PROJECTIONS

    async def read_lags() -> list[ProjectionLag]:
        known = {p.name: read_side.views.known_position(p.name) for p in ALL_PROJECTIONS}
        # After the positions: none of them can be beyond the head of the same log.
        head, silent = await run_read(log, log.head), read_side.heartbeat_age()
        step = log.features.position_step
        return [
            ProjectionLag(name, position, head, silent, read_side.partition_positions(name), step)
            for name, position in known.items()
        ]

    return read_lags


@dataclass(frozen=True, slots=True)
class WriteSide:
    """What commands are carried out with, in API processes and in `starling import`.

    `open_import_ids` opens a source of ids at given times; `erasure` carries out deletions while it
    runs.
    """

    log: EventLog
    handler: CommandHandler
    references: ReferenceResolver
    accounts: "AccountStore"
    media_records: "MediaRecords"
    throttle: "LoginThrottle"
    request_limits: "RequestLimits | None"
    open_text: OpenText
    erasure: "Erasure"
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]
    open_import_ids: Callable[[], AbstractContextManager[Callable[[int], int]]]


@contextmanager
def open_write_side(settings: Settings) -> Iterator[WriteSide]:
    """The log, ids and accounts, in a data folder that is created where there is none.

    Open it in the process that uses it, after any fork. Raises `OSError`, `LogUnavailable`,
    `LeaseError`, `AccountsUnavailable`, `MediaUnavailable`.
    """
    from api.accounts.erasure import Erasure
    from api.accounts.request_limits import RequestLimits, read_rates
    from api.accounts.throttle import LoginThrottle

    settings.make_data_folder()
    profile = choose_profile(settings)
    with (
        open_log(settings) as log,
        open_text_keys(settings, log) as text_keys,
        open_live_ids(settings, log) as new_id,
        profile.open_accounts() as accounts,
        profile.open_media_records() as media_records,
        profile.open_rate_limits() as counts,
    ):
        cipher = TextCipher(text_keys)
        yield WriteSide(
            log=log,
            handler=CommandHandler(
                log,
                new_id,
                lambda append: _observed_append(cipher.sealing(append)),
                cipher.open_text,
            ),
            references=ReferenceResolver(log),
            accounts=accounts,
            media_records=media_records,
            throttle=LoginThrottle(counts if settings.limits else None),
            request_limits=RequestLimits(counts, read_rates(split_list(settings.rates)))
            if settings.limits
            else None,
            open_text=cipher.open_text,
            erasure=Erasure(log, accounts, text_keys),
            clock_ms=clock_ms,
            new_id=new_id,
            open_import_ids=partial(open_import_ids, settings, log),
        )


def _observed_append(append: Append) -> Append:
    """Ties the append to the request that makes it: in log records, and in traces."""
    traced = traced_append(append)

    async def observed(request: AppendRequest) -> AppendResult:
        note_correlation(request.correlation)
        return await traced(request)

    return observed


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


@contextmanager
def open_import_ids(settings: Settings, log: EventLog) -> Iterator[Callable[[int], int]]:
    """Ids for what happened earlier. Raises `MachineIdLost` where too many import at once."""
    opened = leased_timed_ids(_lease_acquirer(settings), log.ids_between)
    try:
        ids = opened.__enter__()
    except LeaseError as error:
        # Commands know ids and no leases.
        raise MachineIdLost(str(error)) from error
    try:
        yield ids.id_at
    finally:
        opened.__exit__(None, None, None)


def signing_secret(settings: Settings) -> bytes:
    """What signs tokens: the setting, or the data folder's own, created when first needed.

    Raises `OSError`, and `InvalidSetting` where the data folder's is not what was created.
    """
    if settings.secret is not None:
        return settings.secret.encode()
    if settings.log_is_shared:
        raise InvalidSetting(
            "other machines may serve the same accounts, and tokens of one must hold on all: give "
            "each the same STARLING_SECRET or STARLING_SECRET_FILE"
        )
    path = settings.data / "secret"
    found = read_or_make_secret(path).strip()
    if not _SECRET.fullmatch(found):
        raise InvalidSetting(
            f"{path} is damaged: it should hold 64 hexadecimal digits. Restore a backup of it, or "
            "remove it, and all users sign in again; a secret of your own is STARLING_SECRET_FILE's"
        )
    return found


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
