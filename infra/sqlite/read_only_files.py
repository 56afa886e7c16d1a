"""How SQLite opens a file in a folder that can't be written, such as that of an analyst's copy."""

import os
from pathlib import Path


def is_in_read_only_folder(path: Path) -> bool:
    """Whether nothing can be created beside the file."""
    return not os.access(path.parent, os.W_OK)


def reading_address(path: Path) -> str:
    """The URI under which SQLite opens a file to be read.

    In a folder that can't be written it can't create the files that readers and writers share, and
    needs none: no process writes there. A `-wal` file with content can only be read together with
    its `-shm` file; without that, opening fails.
    """
    ahead = path.with_name(f"{path.name}-wal")
    is_whole = not (ahead.exists() and ahead.stat().st_size)
    immutable = "&immutable=1" if is_in_read_only_folder(path) and is_whole else ""
    return f"{path.absolute().as_uri()}?mode=ro{immutable}"
