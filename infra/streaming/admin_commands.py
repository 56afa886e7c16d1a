"""Orders where the views are in MongoDB: carried out here, for any process can write them.

What writers must not meet is done while the view stands still; they look anew after it. So after
`pause` the view does not move, and what is replayed keeps the order of its stream.
"""

from typing import Final

from pymongo.errors import PyMongoError

from events.log import EventLog, LogError
from infra.mongodb.connection import WRITE_SECONDS, Database, open_database
from infra.mongodb.view_registry import ViewRegistry
from infra.mongodb.write_fence import WriteFence, fence_writers
from infra.settings import Settings
from infra.streaming.worker_views import open_writable_view
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import StoreError
from streams.projecting.dead_letters import TolerantProjector, purge, read_dead_letters
from streams.rebuild.admin import AdminCommand, AdminResult

_FENCED_VERBS: Final = ("pause", "skip", "replay", "purge")


async def connect_and_execute(
    settings: Settings, log: EventLog, order: AdminCommand
) -> AdminResult:
    """Carry out an order."""
    projection = next((each for each in ALL_PROJECTIONS if each.name == order.projection), None)
    if projection is None:
        return AdminResult(False, f"there is no projection {order.projection!r}")
    with open_database(settings.views, WRITE_SECONDS) as database:
        try:
            return await execute_command(database, log, order, projection)
        except (LogError, StoreError) as error:
            return AdminResult(False, str(error))
        except PyMongoError as error:
            return AdminResult(False, f"MongoDB: {error}")


async def execute_command(
    database: Database, log: EventLog, order: AdminCommand, projection: Projection
) -> AdminResult:
    """Carry out an order. Raises `LogError`, `StoreError`, `PyMongoError`."""
    name, current = projection.name, ViewRegistry(database)
    if order.what == "resume":
        await current.set_paused(name, False)
        return AdminResult(True, f"{name} goes on")
    if order.what == "pause" and name not in (await current.read()).views:
        await current.set_paused(name, True)
        return AdminResult(True, f"{name} is paused")
    if order.what not in _FENCED_VERBS:
        return AdminResult(False, f"nobody here can {order.what} {name}")
    async with fence_writers(database, name) as held:
        if order.what == "pause":
            await current.set_paused(name, True)
            return AdminResult(True, f"{name} is paused")
        return await _handle_dead_letters(database, log, order, projection, held)


async def _handle_dead_letters(
    database: Database, log: EventLog, order: AdminCommand, projection: Projection, held: WriteFence
) -> AdminResult:
    """Replay, purge or skip parked events: those at the order's positions, or all."""
    name = projection.name
    store = await open_writable_view(database, held.view, projection)
    parked = await read_dead_letters(store)
    chosen = [one for one in parked if not order.positions or one.position in order.positions]
    parking = TolerantProjector(projection, store)
    if order.what == "replay":
        stay = await parking.retry_dead_letters(log, {one.stream for one in chosen})
        return AdminResult(
            not stay, f"{name} took {len(parked) - len(stay)} events; {len(stay)} stay parked"
        )
    gone = await purge(store, [one.position for one in chosen])
    if order.what == "purge":
        return AdminResult(True, f"{name} gave up {gone} events")
    await ViewRegistry(database).add_skips(name, order.positions)
    await parking.retry_dead_letters(log, {one.stream for one in chosen})
    return AdminResult(True, f"{name} leaves out {len(order.positions)} events")
