"""The secret that tokens, links of accounts and sessions of clicks are made with."""

import re
from typing import Final

from infra.process.private_files import read_or_make_secret
from infra.settings import InvalidSetting, Settings

_SECRET: Final = re.compile(rb"[0-9a-f]{64}")


def signing_secret(settings: Settings) -> bytes:
    """What signs tokens: the setting, or the data folder's own, created when first needed.

    Raises `OSError`, and `InvalidSetting` where the data folder's is not what was created.
    """
    if settings.secret is not None:
        return settings.secret.encode()
    if settings.log_is_shared:
        raise InvalidSetting(
            "other machines may serve the same accounts, and tokens of one must hold on all: give "
            "each the same STARLING_SECRET or STARLING_SECRET_FILE"
        )
    path = settings.data / "secret"
    found = read_or_make_secret(path).strip()
    if not _SECRET.fullmatch(found):
        raise InvalidSetting(
            f"{path} is damaged: it should hold 64 hexadecimal digits. Restore a backup of it, or "
            "remove it, and all users sign in again; a secret of your own is STARLING_SECRET_FILE's"
        )
    return found
