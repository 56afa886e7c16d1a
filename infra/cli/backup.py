"""`starling backup` and `starling restore-backup`: what a data folder can't make again."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_of_existing_log, settings_with_options
from infra.cli.output import echo_line

if TYPE_CHECKING:
    from infra.settings import Settings

_FOLDER = click.Path(path_type=Path, file_okay=False)
_keys_option = click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The copy of the keys of texts.  [default: FOLDER.text-keys.sqlite]",
)


@click.command()
@click.argument("folder", type=_FOLDER)
@_keys_option
@data_option
def backup(folder: Path, keys: Path | None, data: Path | None) -> None:
    """Copy what can't be made again into FOLDER, and verify it.

    That is the log, the accounts, the secret and the images, unless STARLING_MEDIA puts these
    elsewhere.

    Works while a server runs, and holds up none of its commands. FOLDER must be empty or new; it
    is complete when it has a `backup.json`. What is not in it is made again from the log.

    The keys that texts are sealed under go beside it, into FOLDER.text-keys.sqlite or the file of
    --keys, which is replaced. Keep the newest copy alone: it opens all backups, and an older one
    opens what was erased since.

    Example: starling backup /backup/2024-05-08
    """
    from datetime import UTC, datetime

    from infra.embedded.backup import create_backup

    settings = settings_of_existing_log(data=data)
    _require_local_log(settings)
    with _reporting_progress() as report:
        made = create_backup(
            settings,
            folder,
            datetime.now(UTC).isoformat(timespec="seconds"),
            report,
            keys or _keys_beside(folder),
        )
    echo_line(f"backed up {_name_files(made.files)} up to position {made.position} into {folder}")
    if settings.media is not None:
        echo_line(f"the images are in {settings.media}, which is not in it: back that up, too")
    if settings.accounts_file.name not in made.files:
        echo_line(
            "there are no accounts in the data folder; where they are in MongoDB, back them up "
            "with `mongodump` (docs/streaming.md)"
        )


@click.command(name="restore-backup")
@click.argument("folder", type=_FOLDER)
@_keys_option
@data_option
def restore_backup(folder: Path, keys: Path | None, data: Path | None) -> None:
    """Make a data folder of the backup in FOLDER.

    The data folder must be empty or new: views that have seen more than the backup holds would be
    wrong. Each file is compared with what was backed up. Texts whose keys were destroyed since, in
    the copy of the keys, stay erased.

    Example: starling restore-backup /backup/2024-05-08 --data /srv/starling
    """
    from infra.embedded.backup import restore_backup as restore

    settings = settings_with_options(data=data)
    _require_local_log(settings)
    with _reporting_progress() as report:
        made = restore(folder, settings, report, keys or _keys_beside(folder))
    echo_line(
        f"restored {_name_files(made.files)} of {made.made_at}, up to position {made.position}, "
        f"into {settings.data}"
    )


def _name_files(files: Iterable[str]) -> str:
    """The files of a backup by their names, and how many of them are of images."""
    images = [name for name in files if name.startswith("media/")]
    named = [name for name in files if not name.startswith("media/")]
    return ", ".join([*named, *([f"media/ (files: {len(images):,})"] if images else [])])


def _keys_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.text-keys.sqlite")


def _require_local_log(settings: "Settings") -> None:
    if settings.log != "sqlite":
        raise UserError(
            "the log of record is no file of this data folder (STARLING_LOG): use the backup of "
            "its store",
            exit_code=2,
        )


@contextmanager
def _reporting_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A line of the progress bar for each kind of work."""
    from infra.cli.progress import progress_bar

    phases: dict[str, Callable[[float], None]] = {}
    with progress_bar() as progress:

        def report(what: str, done: int, total: int) -> None:
            if what not in phases:
                phases[what] = progress.begin_phase(what, total)
            phases[what](done)

        yield report
