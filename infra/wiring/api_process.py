"""The assembly of an API process: from settings to an application.

The writing half comes from `infra.wiring.write_side`, the reading half from
`infra.wiring.read_side`.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from api.accounts.access_tokens import AccessTokens
from api.accounts.account_store import AccountStore, erase_deleted_accounts
from api.app import build_app
from api.ports import Ports, ProjectionAdmin, ProjectionLag
from events.log import LOG_START, EventLog
from infra.embedded.admin import EmbeddedAdmin
from infra.embedded.time_travel import PointInTimeViews
from infra.files.atomic_write import write_atomically
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.wiring.read_side import open_read_side
from infra.wiring.write_side import open_write_side, signing_secret
from projections.registry import ALL_PROJECTIONS
from projections.store import CurrentStores


@asynccontextmanager
async def open_api_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application of one API process. Raises what opening its parts raises."""
    with open_write_side(settings) as side:
        await _finish_erasures(side.log, side.accounts, settings.data / "erased")
        past = PointInTimeViews(settings, side.log)
        async with (
            aclosing(past),
            open_read_side(settings) as queries,
            _open_admin(settings, side.log, queries.views) as operations,
        ):

            def read_lags() -> list[ProjectionLag]:
                head, silent = side.log.head(), queries.heartbeat_age()
                position, parts = queries.views.known_position, queries.partition_positions
                return [
                    ProjectionLag(p.name, position(p.name), head, silent, parts(p.name))
                    for p in ALL_PROJECTIONS
                ]

            yield build_app(
                Ports(
                    log=side.log,
                    handler=side.handler,
                    references=side.references,
                    views=queries.views,
                    time_travel=past,
                    home=queries.home,
                    accounts=side.accounts,
                    tokens=AccessTokens(signing_secret(settings), clock_ms),
                    clock_ms=clock_ms,
                    new_id=side.new_id,
                    open_import_ids=side.open_import_ids,
                    invalidations=queries.invalidations,
                    wait_for=queries.wait_for,
                    projection_lags=read_lags,
                    admin=operations,
                )
            )


async def _finish_erasures(log: EventLog, accounts: AccountStore, file: Path) -> None:
    """Erase what killed processes left of deleted accounts; `file` holds up to where that is done.

    Without the file all deletions are looked at, which is only slower.
    """
    after = await erase_deleted_accounts(log, accounts, _read_position(file))
    write_atomically(file, b"%d" % after)


def _read_position(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return LOG_START


@asynccontextmanager
async def _open_admin(
    settings: Settings, log: EventLog, views: CurrentStores
) -> AsyncIterator[ProjectionAdmin]:
    if settings.views == "sqlite":
        yield EmbeddedAdmin(settings, log, views)
        return
    # The driver comes with the streaming profile alone.
    from infra.streaming.admin import open_streaming_admin

    async with open_streaming_admin(settings, log, views) as operations:
        yield operations
