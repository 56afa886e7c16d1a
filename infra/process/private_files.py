"""Who may read what a process writes into a data folder: its user alone."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE_UMASK: Final = 0o077
"""A data folder has people's blocks and mutes, emails, and the secret that signs tokens."""


def keep_new_files_private() -> None:
    """For this process and those that it starts: what they create, this user alone may read."""
    os.umask(os.umask(0) | PRIVATE_UMASK)


def read_or_make_secret(path: Path) -> bytes:
    """What the file holds: 64 random hexadecimal digits, made when it is first needed.

    Several processes may ask at once: the first to link its file wins, for all. Raises `OSError`.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # readable by its owner alone
    try:
        with os.fdopen(file, "w", encoding="ascii") as new:
            new.write(secrets.token_hex(32))
            new.flush()
            os.fsync(new.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()
    return path.read_bytes()
