"""`starling simulate`: load from simulated people on a running server."""

import json
import signal
import sys
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError, missing_package
from infra.cli.options import json_option, settings_with_options
from infra.cli.output import echo, echo_json
from infra.cli.progress import progress_bar

if TYPE_CHECKING:
    from infra.simulation.measurements import SimulationResult
    from infra.simulation.run import SimulationPlan


@click.command()
@click.option("--url", help="The server.  [default: STARLING_HOST and STARLING_PORT]")
@click.option("--users", type=click.IntRange(2, 1_000_000), default=50, show_default=True)
@click.option(
    "--posts-per-second",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Everything else comes in proportion: 14.5 operations for each post.",
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=1,
    show_default=True,
    help="The same seed is the same people, follows and arrivals.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 10_000),
    default=256,
    show_default=True,
    help="Requests on their way at once, at most.",
)
@click.option("--anywhere", is_flag=True, help="Allow a server that isn't on this machine.")
@json_option
def simulate(
    url: str | None,
    users: int,
    posts_per_second: float,
    seconds: float,
    seed: int,
    connections: int,
    anywhere: bool,
    as_json: bool,
) -> None:
    """Let simulated people use a running server.

    People sign up (or in, when an earlier run with the seed left them there), follow one another
    with a heavy tail, and then post, like, comment, retweet, follow and read their home timelines:
    12 : 50 : 5 : 5 : 2 : 100, at random moments (Poisson) that don't depend on how fast the server
    answers. A latency counts from the moment when the operation was due, so waiting behind a slow
    answer is in it (no coordinated omission).

    Ends with rates and percentiles by operation, and with how soon posts showed in a follower's
    home timeline. Ctrl-C ends it early, with the table so far. Exit status 1: something failed.

    Example: starling simulate --users 200 --posts-per-second 10 --seconds 60
    """
    import asyncio

    try:
        from infra.simulation.run import SimulationPlan
    except ModuleNotFoundError as error:
        raise missing_package(error, "simulate") from error

    plan = SimulationPlan(
        _server_url(url, anywhere), users, posts_per_second, seconds, seed, connections
    )
    result = asyncio.run(_run_plan(plan))
    _print_result(result, as_json)
    if result.measurements.has_failures and not result.interrupted:
        raise click.exceptions.Exit(1)


def _server_url(url: str | None, anywhere: bool) -> str:
    from urllib.parse import urlsplit

    from infra.simulation.http_client import is_local_url

    if url is None:
        settings = settings_with_options()
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
        return (
            f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter("give http://HOST:PORT or https://HOST:PORT", param_hint="--url")
    if not anywhere and not is_local_url(url):
        raise click.BadParameter(
            f"{parts.hostname} is not this machine; a simulation creates accounts and load there: "
            "add --anywhere if it is yours to load",
            param_hint="--url",
        )
    return url


async def _run_plan(plan: "SimulationPlan") -> "SimulationResult":
    import asyncio

    from infra.simulation.onboarding import ServerUnusable
    from infra.simulation.run import run_simulation as run

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with progress_bar() as progress:

        def on_interrupt() -> None:
            # The second Ctrl-C ends it the hard way.
            loop.remove_signal_handler(signal.SIGINT)
            stop.set()

        loop.add_signal_handler(signal.SIGINT, on_interrupt)
        try:
            return await run(plan, progress, stop)
        except ServerUnusable as error:
            raise UserError(str(error)) from error


def _print_result(result: "SimulationResult", as_json: bool) -> None:
    from rich.console import Console

    from infra.simulation.measurements import print_report
    from infra.simulation.measurements import report_as_json as document

    if result.interrupted and not result.seconds:
        echo("stopped before the load began", err=True)
    if as_json:
        echo_json(json.dumps(document(result)))
    else:
        print_report(result, Console(file=sys.stdout))
