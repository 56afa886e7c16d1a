"""Brings a data folder up to date whose files have the names of before the first release.

Commands and rebuild records of an operator get their new names; what processes only used to find
one another is removed. May go once such folders are not in use any more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra.process.file_locks import FileLock
from infra.settings import Settings
from infra.shared_memory.status_page import ProjectorAlreadyRunning
from infra.sqlite.read_store import remove_view_file

_OLD_STATUS_PAGE: Final = "board"
_OLD_FOLDERS: Final = ("wake", "orders")
_OLD_FILES: Final = (
    _OLD_STATUS_PAGE,
    "log.sqlite-turn",
    "log.sqlite-door",
    "analytics-turn",
    "analytics-door",
    "erased",
)


def adopt_old_names(settings: Settings) -> None:
    """For a projector that holds the lock of the status page, before it opens anything else.

    Raises `ProjectorAlreadyRunning` where one of the older program works on the folder, `OSError`.
    """
    data = settings.data
    if (data / _OLD_STATUS_PAGE).exists():
        try:
            FileLock(data / _OLD_STATUS_PAGE).close()
        except BlockingIOError:
            message = f"a projector of an older version is at work on {data}: stop it first"
            raise ProjectorAlreadyRunning(message) from None
    for old, new in (*_old_commands(data), *_old_rebuild_records(settings.views_folder)):
        new.parent.mkdir(exist_ok=True)
        old.replace(new)
    for unfinished in settings.snapshots_folder.glob("making-*.sqlite"):
        remove_view_file(unfinished)
    for folder in _OLD_FOLDERS:
        _remove_folder(data / folder)
    for name in _OLD_FILES:
        (data / name).unlink(missing_ok=True)


def _old_commands(data: Path) -> Iterator[tuple[Path, Path]]:
    for path in list((data / "orders").glob("*.order")):
        yield path, data / "admin" / f"{path.stem}.command"


def _old_rebuild_records(views: Path) -> Iterator[tuple[Path, Path]]:
    for path in list(views.glob("*.build.json")):
        yield path, path.with_name(path.name.removesuffix(".build.json") + ".rebuild.json")


def _remove_folder(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
