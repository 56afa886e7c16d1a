"""The program `starling` as a process, as a user starts it; and processes that end with a block."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STARLING = Path(sys.executable).parent / "starling"


def starling_environment(**settings: str) -> dict[str, str]:
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
        env=starling_environment(**settings),
        timeout=300,
        check=False,
    )


@contextmanager
def killed_at_exit(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    output: Path,
    cwd: Path | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process, killed at the end of the block if it still runs; `said` gets what it writes."""
    with output.open("ab") as log:
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
