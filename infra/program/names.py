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


def chosen(names: Sequence[str]) -> "list[Projection]":
    """The projections of these names, or all. Raises `click.BadParameter`."""
    from projections.catalog import CATALOG

    for name in names:
        known(name)
    return [projection for projection in CATALOG if not names or projection.name in names]


def known(name: str) -> "Projection":
    """The projection of this name. Raises `click.BadParameter`."""
    from projections.catalog import CATALOG

    for projection in CATALOG:
        if projection.name == name:
            return projection
    there = ", ".join(projection.name for projection in CATALOG)
    raise click.BadParameter(f"no projection {name!r}; there are {there}", param_hint="NAME")
