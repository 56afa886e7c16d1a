"""The assembly of an API process: from settings to an application.

The writing half comes from `infra.command_side`, the reading half from `infra.query_side`.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import FastAPI

from api.app import build
from api.auth import Tokens
from api.ports import Lag, Operations, Ports
from events.log import EventLog
from infra.accounts.erasing import finish_erasures
from infra.command_side import clock_ms, command_side, signing_secret
from infra.operations import FileOperations
from infra.past import PastViews
from infra.query_side import query_side
from infra.settings import Settings
from projections.catalog import CATALOG
from projections.store import Views


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application of one API process. Raises what opening its parts raises."""
    with command_side(settings) as side:
        await finish_erasures(side.log, side.accounts, settings.data / "erased")
        past = PastViews(settings, side.log)
        async with (
            aclosing(past),
            query_side(settings) as queries,
            _operations(settings, side.log, queries.views) as operations,
        ):

            def lag() -> list[Lag]:
                head, silent = side.log.head(), queries.silent_seconds()
                position, parts = queries.views.position, queries.positions
                return [Lag(p.name, position(p.name), head, silent, parts(p.name)) for p in CATALOG]

            yield build(
                Ports(
                    log=side.log,
                    handler=side.handler,
                    references=side.references,
                    views=queries.views,
                    past=past,
                    home=queries.home,
                    accounts=side.accounts,
                    tokens=Tokens(signing_secret(settings), clock_ms),
                    clock_ms=clock_ms,
                    new_id=side.new_id,
                    importing=side.importing,
                    changes=queries.changes,
                    wait_for=queries.wait_for,
                    lag=lag,
                    operations=operations,
                )
            )


@asynccontextmanager
async def _operations(settings: Settings, log: EventLog, views: Views) -> AsyncIterator[Operations]:
    if settings.views == "sqlite":
        yield FileOperations(settings, log, views)
        return
    # The driver comes with the streaming profile alone.
    from infra.mongo_operations import mongo_operations

    async with mongo_operations(settings, log, views) as operations:
        yield operations
