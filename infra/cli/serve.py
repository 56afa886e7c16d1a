"""`starling serve` and `starling work`: the API, and what keeps the views current."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.options import data_option, metrics_port_option, process_settings
from infra.cli.output import echo_line

if TYPE_CHECKING:
    from infra.settings import Settings


@click.command()
@click.option("--host", help="Where the API listens.  [default: STARLING_HOST, else 127.0.0.1]")
@click.option("--port", type=int, help="Its port; 0 takes a free one.  [default: 8000]")
@click.option("--workers", type=int, help="API processes.  [default: 1]")
@click.option("--demo", is_flag=True, help="Make the demo world, if the data folder is empty.")
@data_option
def serve(
    host: str | None, port: int | None, workers: int | None, demo: bool, data: Path | None
) -> None:
    """Serve the API and keep the views current, until Ctrl-C.

    Example: starling serve --demo --data /tmp/town
    """
    from infra.entrypoints.serve import run_server

    settings = process_settings("server", host=host, port=port, workers=workers, data=data)
    run_server(settings, lambda: _import_demo(settings) if demo else None)


@click.command()
@click.option("--lifeline", type=int, hidden=True)
@click.option("--topic", default="starling.events", show_default=True, help="With STARLING_KAFKA.")
@metrics_port_option
@data_option
def work(lifeline: int | None, topic: str, metrics_port: int | None, data: Path | None) -> None:
    """Keep the views current, without an API.

    One projector works on a data folder: `starling serve` brings its own. With STARLING_KAFKA and
    views in MongoDB any number of workers share the topic's partitions.

    Example: starling work --data /srv/starling
    """
    from infra.wiring.profile_choice import choose_profile

    chosen = process_settings("worker", data=data, metrics_port=metrics_port)
    choose_profile(chosen).run_worker(topic, lifeline)


def _import_demo(settings: "Settings") -> None:
    import asyncio

    from infra.dev.demo_world import DEMO_HANDLE, import_demo_world

    if (password := asyncio.run(import_demo_world(settings))) is not None:
        line = f"made a demo world; sign in as {DEMO_HANDLE} with the password {password}"
    else:
        line = "the data folder has a world already, so no demo was made"
    echo_line(line)
