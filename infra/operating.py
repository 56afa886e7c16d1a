"""Orders from elsewhere than the projector: through it where one runs, else carried out here."""

from typing import Final

from infra.command_side import open_log
from infra.orders import Order, Orders, Reply
from infra.projector import projector
from infra.settings import Settings
from infra.views.board import BoardTaken
from infra.wakeups import Wakeups

TRY_SECONDS: Final = 2.0
"""For an answer, before looking whether the projector is still there."""
TRIES: Final = 30


async def operate(settings: Settings, order: Order) -> Reply:
    """Have an order carried out. Raises `LogError`, `StoreError`."""
    if settings.views != "sqlite":
        # The driver comes with the streaming profile alone.
        from infra import mongo_orders

        with open_log(settings) as log:
            return await mongo_orders.operate(settings, log, order)
    orders = Orders(settings.data, Wakeups(settings.data))
    for _ in range(TRIES):
        try:
            with open_log(settings) as log:
                async with projector(settings, log, rebuilds=False) as here:
                    return await here.execute(order)
        except BoardTaken:
            reply = await orders.give(order, TRY_SECONDS)
            if reply is not None:
                return reply
    return Reply(False, "the projector runs and does not answer; see its output")


async def ask(settings: Settings, order: Order, timeout: float) -> Reply | None:
    """Have an order carried out by the projector; None where it doesn't answer in time."""
    return await Orders(settings.data, Wakeups(settings.data)).give(order, timeout)
