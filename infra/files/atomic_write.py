"""Replaces small files as a whole: a reader sees all of the old bytes or all of the new ones."""

import os
from pathlib import Path
from threading import get_ident


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file aside and rename it to `path`. Several processes and threads may do so at once.
    Its user alone can read it.

    With `durable` the bytes are on the disk before the rename. A process that is killed in between
    leaves `.<name>.<process id>-<thread>.new` behind. Raises `OSError`.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.new")
    with open(new, "wb", opener=open_private) as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)


def open_private(path: str, flags: int) -> int:
    """For `open(opener=...)`: a file that is created is its user's alone."""
    return os.open(path, flags, 0o600)


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises `OSError`."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
