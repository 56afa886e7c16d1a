"""HAProxy in front of the API processes, with the configuration that containers use, too."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

CONFIGURATION: Final = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"


def find_haproxy() -> str | None:
    """Where HAProxy is; None where it is not installed. Debian keeps it where only root looks."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def start_haproxy(
    haproxy: str, front: str, apis: tuple[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Balance between two API processes; addresses are host:port. Raises `OSError`."""
    places = {"STARLING_FRONT": front, "STARLING_API_1": apis[0], "STARLING_API_2": apis[1]}
    with log.open("ab") as said:
        return subprocess.Popen(
            # In the foreground, without a master: one process, whose id is the one to keep.
            [haproxy, "-db", "-f", CONFIGURATION],
            env={"PATH": os.defpath, **places},
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
