"""Orders that a person gives on the command line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from infra.program.plain import Plain

if TYPE_CHECKING:
    from infra.orders import What
    from infra.settings import Settings
    from projections.projection import Projection


def carry_out(
    settings: "Settings", what: "What", projection: "Projection", positions: Sequence[int] = ()
) -> None:
    """Do it, or have the running projector do it, and say what came of it. Raises `Plain`."""
    import asyncio

    from infra.operating import operate
    from infra.orders import Order

    reply = asyncio.run(operate(settings, Order(what, projection.name, tuple(positions))))
    if not reply.done:
        raise Plain(reply.text)
    click.echo(reply.text, err=True)
