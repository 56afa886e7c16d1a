"""What can't be made again must be whole before a server starts: the log, its keys, the accounts.

SQLite would take an emptied file for a new one, and go on from what it can still read of a damaged
write-ahead log: acknowledged events and accounts would be gone without a word.
"""

import time
from pathlib import Path
from typing import Final

from api.accounts.errors import AccountsUnavailable
from api.media.errors import MediaUnavailable
from events.log import LogUnavailable
from infra.embedded.log_mark import LOG_MARK_FILE
from infra.settings import Settings
from infra.sqlite.file_check import CHECKED_BYTES, find_damage
from infra.sqlite.text_keys import find_damaged_keys

_LOOK_AGAIN_SECONDS: Final = 0.2
"""Another process may have been writing just while the file was read."""

_WHAT_TO_DO: Final = "restore a backup (docs/operations.md)"


def require_whole_files(settings: Settings) -> None:
    """Raises `LogUnavailable`, `AccountsUnavailable` or `MediaUnavailable` where a file is seen to
    be damaged."""
    log, accounts = settings.log_path, settings.accounts_file
    if _is_empty(log) and not _is_empty(settings.views_folder / LOG_MARK_FILE, missing=True):
        raise LogUnavailable(f"the log {log} is empty, and was not: {_WHAT_TO_DO}")
    if damage := _lasting_damage(log):
        raise LogUnavailable(f"the log {log} is damaged: {damage}; {_WHAT_TO_DO}")
    _require_whole_keys(settings.text_keys_file)
    # A file is empty for the moment in which it is made, before the log has a first event.
    if _is_empty(accounts) and not _is_empty(settings.views_folder / LOG_MARK_FILE, missing=True):
        raise AccountsUnavailable(
            f"{accounts} is empty, and was not: {_WHAT_TO_DO}, or remove it, and no account has a "
            "password any more"
        )
    if damage := _lasting_damage(accounts):
        raise AccountsUnavailable(f"{accounts} is damaged: {damage}; {_WHAT_TO_DO}")
    media = settings.data / "media.sqlite"
    if damage := _lasting_damage(media):
        raise MediaUnavailable(
            f"{media} is damaged: {damage}; remove it, and what the log says of images is read "
            "again, but uploads that no post shows yet are gone"
        )


def _require_whole_keys(path: Path) -> None:
    damage = _lasting_damage(path)
    if damage is None and path.is_file() and path.stat().st_size <= CHECKED_BYTES:
        damage = find_damaged_keys(path)
    if damage is not None:
        raise LogUnavailable(
            f"{path} is damaged: {damage}; put the newest copy of it there (docs/operations.md)"
        )


def _is_empty(path: Path, missing: bool = False) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return missing


def _lasting_damage(path: Path) -> str | None:
    if find_damage(path) is None:
        return None
    time.sleep(_LOOK_AGAIN_SECONDS)
    return find_damage(path)
