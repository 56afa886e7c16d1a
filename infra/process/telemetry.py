"""What every process of the server begins with, so that operators see it."""

import errno

from infra.process.logs import name_process
from infra.process.shared_metrics import join_metrics, serve_metrics
from infra.process.supervisor import CannotListen
from infra.process.tracing import start_tracing
from infra.settings import Settings


def begin_telemetry(settings: Settings, kind: str) -> None:
    """Count in the data folder's metrics, and be named the same there and in log records.

    Call it once, before the process does its work. `kind` is `api`, `projector`, `relay` or
    `worker`; those without an API show `/metrics` where `STARLING_METRICS_PORT` says. Raises
    `CannotListen`.
    """
    start_tracing(kind)
    name_process(join_metrics(settings.metrics_folder, kind))
    if settings.metrics_port is None or kind == "api":
        return
    try:
        serve_metrics(settings.metrics_folder, settings.host, settings.metrics_port)
    except OSError as error:
        where = f"port {settings.metrics_port} on {settings.host}"
        taken = error.errno == errno.EADDRINUSE
        raise CannotListen(
            f"{where} (STARLING_METRICS_PORT) "
            + ("is taken" if taken else f"can't be used: {error.strerror or error}")
        ) from error
