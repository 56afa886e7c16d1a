"""The ports of one API process: each is opened by a function here, or by the profile.

Only API processes import it, so it imports the framework and all that they need at once.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, nullcontext
from hashlib import blake2b

from api.accounts.access_tokens import AccessTokens
from api.accounts.link_tokens import LinkTokens
from api.accounts.recovery import RecoveryMail
from api.accounts.signed_tokens import SignedTokens
from api.clicks.click_intake import ClickIntake
from api.clicks.click_publisher import ClickPublisher
from api.clicks.click_upkeep import ClickUpkeep
from api.http.position_waits import PositionWaits
from api.media.media_follower import MediaFollower
from api.ports import HealthPorts, MediaPorts, Ports, ProjectionLag, ReadLags
from api.search.search_follower import SearchFollower
from api.webhooks.webhook_store import WebhookPorts
from events.log import EventLog, run_read
from infra.embedded.time_travel import PointInTimeViews
from infra.http_client.endpoint_client import EndpointClient
from infra.images.image_workers import ImageWorkers
from infra.process.clock import clock_ms
from infra.process.shared_metrics import metrics_renderer
from infra.profile import Profile, ReadSide
from infra.settings import InvalidSetting, Settings
from infra.sqlite.click_log import CLICKS_FILE, SqliteClickLog
from infra.wiring.media_store import open_media_store
from infra.wiring.profile_choice import choose_profile
from infra.wiring.signing_secret import signing_secret
from infra.wiring.write_side import WriteSide, open_write_side
from projections.registry import ALL_PROJECTIONS


@asynccontextmanager
async def open_api_ports(settings: Settings) -> AsyncIterator[Ports]:
    """The ports of one API process. Raises what opening its parts raises."""
    profile = choose_profile(settings)
    with (
        open_write_side(settings) as side,
        _open_tokens(settings, profile) as tokens,
        profile.open_apps() as apps,
        _open_webhooks(settings, profile) as webhooks,
    ):
        async with (
            side.erasure.running(),
            _open_media(settings, side) as media,
            _open_search(profile, side) as search,
            _open_clicks(settings, profile, side.log) as clicks,
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
                media=media,
                clicks=clicks,
                search=search,
                webhooks=webhooks,
                throttle=side.throttle,
                recovery_mail=_recovery_mail(settings),
                request_limits=side.request_limits,
                tokens=tokens,
                apps=apps,
                clock_ms=clock_ms,
                new_id=side.new_id,
                open_import_ids=side.open_import_ids,
                invalidations=read_side.invalidations,
                wait_for=PositionWaits(read_side.views.known_position, read_side.wait_for),
                health=_health(settings, side.log, read_side),
                admin=admin,
                open_text=side.open_text,
                access_log=settings.access_log,
                base_url=settings.base_url,
            )


@contextmanager
def _open_tokens(settings: Settings, profile: Profile) -> Iterator[AccessTokens]:
    signed = SignedTokens(signing_secret(settings))
    with profile.open_tokens() as store:
        yield AccessTokens(store, clock_ms, time.monotonic, signed)


@contextmanager
def _open_webhooks(settings: Settings, profile: Profile) -> Iterator[WebhookPorts]:
    endpoints = EndpointClient(settings.webhooks_loopback)
    with profile.open_webhooks() as store:
        yield WebhookPorts(store, endpoints.post, settings.webhooks_loopback)


@asynccontextmanager
async def _open_media(settings: Settings, side: WriteSide) -> AsyncIterator[MediaPorts]:
    """While it is open, images of what was deleted are removed."""
    store = open_media_store(settings)
    async with (
        MediaFollower(side.log, side.media_records, store, clock_ms).running(),
        aclosing(ImageWorkers(settings.image_workers)) as converter,
    ):
        yield MediaPorts(store, side.media_records, converter, settings.media_bytes)


@asynccontextmanager
async def _open_search(profile: Profile, side: WriteSide) -> AsyncIterator[SearchFollower]:
    """While it is open, words of new events are indexed."""
    with profile.open_search_index() as index:
        search = SearchFollower(side.log, index, side.open_text)
        async with search.running():
            yield search


@asynccontextmanager
async def _open_clicks(
    settings: Settings, profile: Profile, log: EventLog
) -> AsyncIterator[ClickIntake]:
    """While it is open, old clicks are removed, and published where machines share them."""
    key = blake2b(signing_secret(settings), person=b"sessions").digest()
    shared_clicks = profile.open_shared_clicks()
    with closing(SqliteClickLog(settings.data / CLICKS_FILE)) as clicks, shared_clicks as shared:
        upkeep = ClickUpkeep(log, clicks, settings.clicks_days, clock_ms).running()
        publisher = ClickPublisher(clicks, shared.feed, key).running() if shared else nullcontext()
        async with upkeep, publisher:
            figures, sample = shared.figures if shared else clicks, settings.clicks_sample
            yield ClickIntake(clicks, figures, key, clock_ms, sample)


def _recovery_mail(settings: Settings) -> RecoveryMail:
    """Raises `InvalidSetting` where mails would have no sender."""
    links = LinkTokens(signing_secret(settings), clock_ms)
    if settings.smtp is None:
        return RecoveryMail(links)
    if settings.mail_from is None:
        raise InvalidSetting(
            "STARLING_SMTP is set, so STARLING_MAIL_FROM must name the sender of mails, such as "
            "'Starling <starling@example.org>'"
        )
    from infra.smtp.mail_delivery import mail_delivery

    return RecoveryMail(links, mail_delivery(settings.smtp, settings.mail_from))


def _health(settings: Settings, log: EventLog, read_side: ReadSide) -> HealthPorts:
    return HealthPorts(
        projection_lags=_lag_reader(log, read_side),
        outdated_views=read_side.outdated_views,
        log_problem=read_side.log_problem,
        metrics_audience=settings.metrics,
        render_shared_metrics=metrics_renderer(settings.metrics_folder),
    )


def _lag_reader(log: EventLog, read_side: ReadSide) -> ReadLags:
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
