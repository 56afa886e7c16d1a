"""Orders where the views are in MongoDB: carried out here, for any process can write them.

What writers must not meet is done while the view stands still; they look anew after it. So after
`pause` the view does not move, and what is replayed keeps the order of its stream.
"""

from typing import Final

from pymongo.errors import PyMongoError

from events.log import EventLog, LogError
from infra.live_views import open_to_write
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.orders import Order, Reply
from infra.settings import Settings
from infra.views.mongo_current import MongoCurrent
from infra.views.mongo_standstill import Standstill, standstill
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import StoreError
from streams.dead_letters import letters, purge
from streams.parking import Parking

_AT_REST: Final = ("pause", "skip", "replay", "purge")


async def operate(settings: Settings, log: EventLog, order: Order) -> Reply:
    """Carry out an order."""
    projection = next((each for each in CATALOG if each.name == order.projection), None)
    if projection is None:
        return Reply(False, f"there is no projection {order.projection!r}")
    with connected(settings.views, WRITE_SECONDS) as database:
        try:
            return await execute(database, log, order, projection)
        except (LogError, StoreError) as error:
            return Reply(False, str(error))
        except PyMongoError as error:
            return Reply(False, f"MongoDB: {error}")


async def execute(database: Database, log: EventLog, order: Order, projection: Projection) -> Reply:
    """Carry out an order. Raises `LogError`, `StoreError`, `PyMongoError`."""
    name, current = projection.name, MongoCurrent(database)
    if order.what == "resume":
        await current.pause(name, False)
        return Reply(True, f"{name} goes on")
    if order.what == "pause" and name not in (await current.read()).views:
        await current.pause(name, True)
        return Reply(True, f"{name} is paused")
    if order.what not in _AT_REST:
        return Reply(False, f"nobody here can {order.what} {name}")
    async with standstill(database, name) as held:
        if order.what == "pause":
            await current.pause(name, True)
            return Reply(True, f"{name} is paused")
        return await _letters(database, log, order, projection, held)


async def _letters(
    database: Database, log: EventLog, order: Order, projection: Projection, held: Standstill
) -> Reply:
    """Replay, purge or skip parked events: those at the order's positions, or all."""
    name = projection.name
    store = await open_to_write(database, held.view, projection)
    parked = await letters(store)
    chosen = [one for one in parked if not order.positions or one.position in order.positions]
    parking = Parking(projection, store)
    if order.what == "replay":
        stay = await parking.replay(log, {one.stream for one in chosen})
        return Reply(
            not stay, f"{name} took {len(parked) - len(stay)} events; {len(stay)} stay parked"
        )
    gone = await purge(store, [one.position for one in chosen])
    if order.what == "purge":
        return Reply(True, f"{name} gave up {gone} events")
    await MongoCurrent(database).skip(name, order.positions)
    await parking.replay(log, {one.stream for one in chosen})
    return Reply(True, f"{name} leaves out {len(order.positions)} events")
