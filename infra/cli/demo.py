"""`starling demo`: the demo world as lines of commands."""

import json
import sys

import click


@click.command()
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=1,
    show_default=True,
    help="The same seed and time make the same world.",
)
@click.option("--at", metavar="TIME", help="When the world's week ends.  [default: now]")
def demo(seed: int, at: str | None) -> None:
    """Print the demo world of `starling serve --demo`, a line of `starling import` each.

    Example: starling demo --at 2024-05-08T12:00:00Z | starling import - --data town
    """
    from events.times import InvalidTime, parse_time
    from infra.dev import demo_world as world
    from infra.process.clock import clock_ms

    try:
        now_ms = clock_ms() if at is None else parse_time(at)
    except InvalidTime as error:
        raise click.UsageError(str(error)) from error
    for line in world.generate_commands(seed, now_ms):
        sys.stdout.write(f"{json.dumps(line, ensure_ascii=False)}\n")
