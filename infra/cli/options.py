"""Options that several commands take, and the settings that come of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infra.cli.errors import UserError
from infra.cli.output import echo_line

if TYPE_CHECKING:
    from infra.settings import Settings
    from projections.projection import Projection

F = TypeVar("F", bound=Callable[..., Any])

POSITION = click.IntRange(0, (1 << 63) - 1)
"""The type of positions, and of counts that stores are asked for: what 63 bits hold."""


def data_option(command: F) -> F:
    """`--data FOLDER`; None for the settings' folder."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="The data folder.  [default: STARLING_DATA, else ./data]",
    )(command)


def metrics_port_option(command: F) -> F:
    """`--metrics-port`, for processes without an API."""
    return click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        help="Show /metrics there, on STARLING_HOST.  [default: STARLING_METRICS_PORT, else none]",
    )(command)


def json_option(command: F) -> F:
    """`--json`: one JSON document for programs instead of a table."""
    help_text = "Print one JSON document instead of a table."
    return click.option("--json", "as_json", is_flag=True, help=help_text)(command)


def process_settings(process: str, **chosen: Any) -> "Settings":
    """As `settings_with_options`, for a command that is a process of the server: its lines are log
    records from now on. Raises `InvalidSetting`."""
    from infra import settings
    from infra.process.logs import configure_logs

    found = _find_running_stack(settings.from_environment(**chosen))
    configure_logs(found.log_format, process)
    _warn_of_unknown_variables()
    return found


def settings_with_options(**chosen: Any) -> "Settings":
    """The environment's settings, with what the command line chose (not None) in their place.

    Where `starling up` runs on the data folder, what names no engine means those of it.
    Writes a line about each variable that is named like a setting and is none. Raises
    `InvalidSetting`.
    """
    from infra import settings

    found = _find_running_stack(settings.from_environment(**chosen))
    _warn_of_unknown_variables()
    return found


def _find_running_stack(settings: "Settings") -> "Settings":
    """The settings with the engines that `starling up` started, as far as they name no others."""
    if not settings.stack_file.exists():
        return settings
    from infra.dev.stack_record import read_stack_record
    from infra.settings import ENV_PREFIX

    record = read_stack_record(settings.stack_file)
    if record is None or not record.is_running:
        return settings
    engines = {
        name.removeprefix(ENV_PREFIX).lower(): value for name, value in record.environment.items()
    }
    return settings.model_copy(
        update={
            name: value for name, value in engines.items() if name not in settings.model_fields_set
        }
    )


def _warn_of_unknown_variables() -> None:
    from infra.settings import unknown_variables

    for line in unknown_variables():
        echo_line(line)


def settings_of_existing_log(**chosen: Any) -> "Settings":
    """As `settings_with_options`, for commands that only look at a log: there must be one."""
    from infra.log_of_record import log_is_missing

    settings = settings_with_options(**chosen)
    if log_is_missing(settings):
        raise UserError(
            f"there is no log in {settings.data} yet: start `starling serve` or `starling import` "
            "first, or name another folder with --data"
        )
    return settings


def name_argument(command: F) -> F:
    """The name of one projection."""
    return click.argument("name", metavar="NAME")(command)


def names_argument(command: F) -> F:
    """Names of projections; none stands for all."""
    return click.argument("names", nargs=-1, metavar="[NAME]...")(command)


def find_projection(name: str) -> "Projection":
    """The projection of this name. Raises `click.BadParameter`."""
    from projections.registry import UnknownProjection, projection_named

    try:
        return projection_named(name)
    except UnknownProjection as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error


def find_projections(names: Sequence[str]) -> "list[Projection]":
    """The projections of these names, or all, in their usual order. Raises `click.BadParameter`."""
    from projections.registry import ALL_PROJECTIONS

    wanted = [find_projection(name) for name in names] or ALL_PROJECTIONS
    return [projection for projection in ALL_PROJECTIONS if projection in wanted]
