"""The program `starling` as a process, as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

STARLING = Path(sys.executable).parent / "starling"


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings and no other ones of Starling."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STARLING_")}
    return {**kept, **settings}


def starling(
    *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    return subprocess.run(
        [STARLING, *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(**settings),
        timeout=300,
        check=False,
    )
