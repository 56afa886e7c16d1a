"""Who may read what a process writes into a data folder: its user alone."""

import os
from typing import Final

PRIVATE_UMASK: Final = 0o077
"""A data folder has people's blocks and mutes, emails, and the secret that signs tokens."""


def keep_new_files_private() -> None:
    """For this process and those that it starts: what they create, this user alone may read."""
    os.umask(os.umask(0) | PRIVATE_UMASK)
