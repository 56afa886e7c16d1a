"""Orders from elsewhere than the projector: through it where one runs, else carried out here."""

from typing import Final

from infra.embedded.admin_queue import AdminQueue
from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.process.notifications import ProcessNotifier
from infra.settings import Settings
from infra.shared_memory.status_page import ProjectorAlreadyRunning
from streams.rebuild.admin import AdminCommand, AdminResult

ATTEMPT_SECONDS: Final = 2.0
"""For an answer, before looking whether the projector is still there."""
MAX_ATTEMPTS: Final = 30


async def run_admin_command(settings: Settings, order: AdminCommand) -> AdminResult:
    """Have an order carried out. Raises `LogError`, `StoreError`."""
    if settings.views != "sqlite":
        # The driver comes with the streaming profile alone.
        from infra.streaming import admin_commands

        with open_log(settings) as log:
            return await admin_commands.connect_and_execute(settings, log, order)
    orders = AdminQueue(settings.data, ProcessNotifier(settings.data))
    for _ in range(MAX_ATTEMPTS):
        try:
            with open_log(settings) as log:
                async with open_projector(settings, log, rebuilds=False) as here:
                    return await here.execute_command(order)
        except ProjectorAlreadyRunning:
            reply = await orders.send_command(order, ATTEMPT_SECONDS)
            if reply is not None:
                return reply
    return AdminResult(False, "the projector runs and does not answer; see its output")


async def send_admin_command(
    settings: Settings, order: AdminCommand, timeout: float
) -> AdminResult | None:
    """Have an order carried out by the projector; None where it doesn't answer in time."""
    return await AdminQueue(settings.data, ProcessNotifier(settings.data)).send_command(
        order, timeout
    )
