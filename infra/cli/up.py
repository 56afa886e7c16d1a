"""`starling up` and `starling down`: the streaming profile on this machine."""

from pathlib import Path

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_with_options


@click.command()
@click.option("--host", help="Where the API listens.  [default: STARLING_HOST, else 127.0.0.1]")
@click.option("--port", type=int, help="Its port.  [default: 8000]")
@data_option
def up(host: str | None, port: int | None, data: Path | None) -> None:
    """Start Kafka, MongoDB, a relay, two Faust workers and two API processes, and leave them.

    Where STARLING_KAFKA or STARLING_VIEWS names one that runs already, that one is used. The API
    processes stand behind HAProxy where it is installed. An empty data folder gets a demo world.

    Example: starling up --data /tmp/town
    """
    from importlib.util import find_spec

    if not all(map(find_spec, ("faust", "kafka", "motor"))):
        raise UserError("the packages of the streaming profile are not installed: use `make up`")
    from infra.dev.stack import start_stack

    started = start_stack(settings_with_options(host=host, port=port, data=data), _echo_line)
    for name, place in started.places.items():
        click.echo(f"{name:20}{place}")
    _echo_line("`starling down` ends it")


@click.command()
@data_option
def down(data: Path | None) -> None:
    """End what `starling up` started, and nothing else. Its data stays.

    Example: starling down --data /tmp/town
    """
    from infra.dev.stack_record import stop_stack

    if not stop_stack(settings_with_options(data=data), _echo_line):
        _echo_line("nothing was up")


def _echo_line(line: str) -> None:
    click.echo(f"starling: {line}", err=True)
