"""`starling up` and `starling down`: the streaming profile on this machine."""

from pathlib import Path

import click

from infra.program.options import data_option, settings_with
from infra.program.plain import Plain


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
        raise Plain("the packages of the streaming profile are not installed: use `make up`")
    from infra.engines.engine import EngineFailed, EngineMissing
    from infra.stack import up as stack

    try:
        started = stack.up(settings_with(host=host, port=port, data=data), _say)
    except (EngineFailed, EngineMissing) as error:
        raise Plain(str(error)) from error
    for name, place in started.places.items():
        click.echo(f"{name:20}{place}")
    _say("`starling down` ends it")


@click.command()
@data_option
def down(data: Path | None) -> None:
    """End what `starling up` started, and nothing else. Its data stays.

    Example: starling down --data /tmp/town
    """
    from infra.stack import down as stack

    if not stack.down(settings_with(data=data), _say):
        _say("nothing was up")


def _say(line: str) -> None:
    click.echo(f"starling: {line}", err=True)
