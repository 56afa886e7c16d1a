"""The program `starling` as a process, as a user starts it; and processes that end with a block."""

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

STARLING = Path(sys.executable).parent / "starling"

_TERMINAL_CODE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def starling_environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings and no other ones of Starling, but the one
    with which the same tests run against the framework alone.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STARLING_") or name == "STARLING_FAST_PATH"
    }
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


def starling_on_terminal(
    *arguments: str | Path, columns: int, **settings: str
) -> tuple[int | None, str]:
    """Run it to its end on a terminal of so many columns: its exit status and what it showed,
    without colours."""
    terminal, program_side = pty.openpty()
    termios.tcsetwinsize(program_side, (40, columns))
    environment = starling_environment(**settings)
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    shown = b""
    with subprocess.Popen(
        [STARLING, *arguments],
        stdin=program_side,
        stdout=program_side,
        stderr=program_side,
        env={**environment, "TERM": "xterm"},
    ) as process:
        os.close(program_side)
        with suppress(OSError), open(terminal, "rb", buffering=0) as screen:  # EIO is its end
            while read := screen.read(1 << 16):
                shown += read
    text = _TERMINAL_CODE.sub("", shown.decode())
    return process.returncode, text.replace("\r\n", "\n")


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


def children_with(word: str, parent: int) -> list[int]:
    """The ids of a process's children with a word among their arguments."""
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):  # it ended meanwhile
            if word in " ".join(child.cmdline()):
                found.append(child.pid)
    return found
