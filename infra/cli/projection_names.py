"""Names of projections on the command line."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from projections.projection import Projection

F = TypeVar("F", bound=Callable[..., Any])


def name_argument(command: F) -> F:
    """One projection."""
    return click.argument("name", metavar="NAME")(command)


def names_argument(command: F) -> F:
    """Some projections; none stands for all."""
    return click.argument("names", nargs=-1, metavar="[NAME]...")(command)


def projections_named(names: Sequence[str]) -> "list[Projection]":
    """The projections of these names, or all. Raises `click.BadParameter`."""
    from projections.registry import ALL_PROJECTIONS

    for name in names:
        projection_named(name)
    return [projection for projection in ALL_PROJECTIONS if not names or projection.name in names]


def projection_named(name: str) -> "Projection":
    """The projection of this name. Raises `click.BadParameter`."""
    from projections.registry import ALL_PROJECTIONS

    for projection in ALL_PROJECTIONS:
        if projection.name == name:
            return projection
    there = ", ".join(projection.name for projection in ALL_PROJECTIONS)
    raise click.BadParameter(f"no projection {name!r}; there are {there}", param_hint="NAME")
