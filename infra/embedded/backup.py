"""A copy of what a data folder can't make again, made while processes work on it, and verified.

That is the log, the accounts, the secret, the media in the data folder with their records, the
webhooks, and what operators paused and skipped. All else is made from the log. The log is copied
before the accounts: so every user in the copy who could sign in still can, and an account that was
deleted in between is erased there.

The keys that texts are sealed under go into a file of their own, outside of the backup's folder and
after the log: the newest copy of them opens every backup, and none of what was erased since. Older
copies are to be destroyed; so what is erased is erased from the backups of before, too.

A folder counts as a backup when its `backup.json` is there, which is written last: it has the
digest of each file. A restore compares them, and puts the log into its place last. Both fill a
folder of their own inside and move the files when all are there; what a killed one left in it is
removed by the next into the same folder.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from infra.files.atomic_write import flush_to_disk, write_atomically
from infra.log_of_record import has_sealed_texts
from infra.process.file_locks import FileLock
from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.online_copy import (
    DamagedCopy,
    check_database,
    copy_while_written,
)
from streams.export.verify import verify_log

MANIFEST: Final = "backup.json"
_STAGING: Final = ".unfinished"
_LOCK: Final = "lock"
_LOG: Final = "log.sqlite"
_MEDIA_RECORDS: Final = "media.sqlite"
_DATABASES: Final = (_LOG, "accounts.sqlite", _MEDIA_RECORDS, "webhooks.sqlite")
"""In the order in which they are copied."""
_TEXT_KEYS: Final = "text-keys.sqlite"
_FILES: Final = ("secret", "views/controls.json")
_FOLDERS: Final = ("media",)

ProgressReport = Callable[[str, int, int], None]
"""Gets what is being done, how much of it is done, and how much there is in all."""


class BackupFailed(Exception):
    """There is no backup, or nothing was restored; the message says why and what to do."""


class BackupManifest(msgspec.Struct, frozen=True):
    """What a complete backup holds."""

    made_at: str
    """RFC 3339."""
    position: int
    """The head of the log in it."""
    files: dict[str, str]
    """The path of each file, relative to the folder, and its SHA-256."""


def create_backup(
    settings: Settings, folder: Path, made_at: str, report_progress: ProgressReport, keys: Path
) -> BackupManifest:
    """Copy a data folder into an empty folder, or one that is made, and the keys of texts into a
    file `keys`, which is replaced. Raises `BackupFailed`, `LogUnavailable`, `OSError`."""
    if keys.absolute().is_relative_to(folder.absolute()):
        raise BackupFailed(f"{keys} is inside the backup: keep the keys of its texts elsewhere")
    with _staged(folder) as staging:
        try:
            for name in _DATABASES:
                if (settings.data / name).is_file():
                    _copy_database(settings.data / name, staging / name, report_progress)
        except (sqlite3.Error, DamagedCopy) as error:
            raise BackupFailed(f"{error}: no backup was made") from error
        _forget_alternative_texts(staging / _MEDIA_RECORDS)
        for name in _existing_files(settings.data):
            try:
                _copy_file(settings.data / name, staging / name)
            except FileNotFoundError:  # an image that was deleted meanwhile
                (staging / name).unlink(missing_ok=True)
        position = _verify_log(staging / _LOG, report_progress)
        _back_up_keys(settings, staging, keys, report_progress)
        names = [name for name in _DATABASES if (staging / name).is_file()]
        names += _existing_files(staging)
        manifest = BackupManifest(
            made_at, position, {name: _digest(staging / name) for name in names}
        )
        _move_into_place(staging, folder, names)
        content = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
        write_atomically(folder / MANIFEST, content, durable=True)
        flush_to_disk(folder)
    return manifest


def restore_backup(
    folder: Path, settings: Settings, report_progress: ProgressReport, keys: Path
) -> BackupManifest:
    """Make a data folder of a backup and of a copy of the keys of its texts; it must be empty or
    not there. Raises `BackupFailed`, `LogUnavailable`, `OSError`."""
    manifest = _read_manifest(folder)
    with _staged(settings.data) as staging:
        # The log comes last: what has no log is no data folder yet.
        names = sorted(manifest.files, key=lambda name: name == _LOG)
        for done, name in enumerate(names):
            report_progress("files", done, len(names))
            try:
                _copy_file(folder / name, staging / name)
            except FileNotFoundError as error:
                raise BackupFailed(f"the backup lacks {name}: use another one") from error
            if _digest(staging / name) != manifest.files[name]:
                raise BackupFailed(f"{name} is not what was backed up: use another backup")
        report_progress("files", len(names), len(names))
        names = [*_restore_keys(staging, keys), *names]
        _move_into_place(staging, settings.data, names)
    return manifest


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder inside an otherwise empty one, gone at the end. Raises `BackupFailed`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = folder / _STAGING
    if any(path != staging for path in folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty: name an empty folder, or a new one")
    staging.mkdir(mode=0o700, exist_ok=True)
    try:
        lock = FileLock(staging / _LOCK)
    except BlockingIOError as error:
        raise BackupFailed(f"another process is filling {folder}") from error
    with lock:
        for path in staging.iterdir():
            if path.name != _LOCK:
                _remove(path)
        try:
            yield staging
        finally:
            shutil.rmtree(staging)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _copy_database(source: Path, target: Path, report_progress: ProgressReport) -> None:
    def report_pages(done: int, whole: int) -> None:
        report_progress(f"pages of {source.name}", done, whole)

    # Made here, so that it is readable by its owner alone from its first byte.
    target.touch(mode=0o600)
    copy_while_written(source, target, report_pages)
    check_database(target)


def _forget_alternative_texts(records: Path) -> None:
    """Of uploads that nothing shows yet: they are personal and not sealed, as those in the log."""
    if records.is_file():
        with closing(sqlite3.connect(records, isolation_level=None)) as connection:
            connection.execute("UPDATE uploads SET alt = ''")
            connection.execute("VACUUM")


def _back_up_keys(
    settings: Settings, staging: Path, keys: Path, report_progress: ProgressReport
) -> None:
    if not settings.text_keys_file.is_file():
        return
    copy = staging / _TEXT_KEYS
    try:
        _copy_database(settings.text_keys_file, copy, report_progress)
    except (sqlite3.Error, DamagedCopy) as error:
        raise BackupFailed(f"{error}: no backup was made") from error
    # It may lie on another disk than the backup.
    keys.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = keys.with_name(f".{keys.name}.unfinished")
    beside.unlink(missing_ok=True)
    _copy_file(copy, beside)
    copy.unlink()
    beside.replace(keys)
    flush_to_disk(keys.parent)


def _restore_keys(staging: Path, keys: Path) -> list[str]:
    """The names of the files that the log's texts need. Raises `BackupFailed`, `LogUnavailable`."""
    name = _TEXT_KEYS
    if keys.is_file():
        _copy_file(keys, staging / name)
        try:
            check_database(staging / name)
        except (sqlite3.Error, DamagedCopy) as error:
            raise BackupFailed(f"{keys}: {error}; use another copy") from error
        return [name]
    with closing(SqliteLog(staging / _LOG)) as log:
        if has_sealed_texts(log):
            raise BackupFailed(
                f"{keys} is missing, and without it no text of this backup can be read: name the "
                "newest copy of the keys with --keys"
            )
    return []


def _existing_files(data: Path) -> list[str]:
    """Relative paths of the files that are no databases."""
    folders = (path for name in _FOLDERS for path in sorted((data / name).rglob("*")))
    paths = [*(data / name for name in _FILES), *folders]
    return [
        str(path.relative_to(data))
        for path in paths
        if path.is_file() and not path.name.startswith(".")  # unfinished
    ]


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.touch(mode=0o600)
    shutil.copyfile(source, target)
    flush_to_disk(target)


def _verify_log(copy: Path, report_progress: ProgressReport) -> int:
    """The head of a log that is whole. Raises `BackupFailed`, `LogUnavailable`."""
    with closing(SqliteLog(copy)) as log:
        for finding in verify_log(log, partial(report_progress, "events")):
            raise BackupFailed(
                f"the log is not whole: position {finding.position} {finding.what}; "
                "`starling events verify` tells all that is wrong"
            )
        return log.head()


def _move_into_place(staging: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (staging / name).replace(target)
        flush_to_disk(target.parent)


def _read_manifest(folder: Path) -> BackupManifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=BackupManifest)
    except FileNotFoundError as error:
        raise BackupFailed(
            f"{folder} holds no {MANIFEST}: it is no complete backup of `starling backup`"
        ) from error
    except msgspec.DecodeError as error:
        raise BackupFailed(f"{folder / MANIFEST} can't be read: {error}") from error
    if _LOG not in manifest.files:
        raise BackupFailed(f"{folder / MANIFEST} names no log")
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BackupFailed(f"{folder / MANIFEST} names {name}, which is outside of the folder")
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
