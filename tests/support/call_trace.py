"""Which of the product's files a request goes through, in every process that works on it.

A process that has `install` called in its `sitecustomize` notes the first call into each file of
the product while a `CallTrace` records, and the first argument of a class that a file defines. Code
that runs because a module is being imported doesn't count.
"""

import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
PRODUCT = tuple(
    f"{REPOSITORY}/{package}/"
    for package in ("events", "commands", "projections", "api", "streams", "infra")
)
BESIDE_THE_WAY = "lease-"
"""Threads of such names renew leases by the clock, whatever the process does."""
FUNCTION_FLAG = 0x1
"""`CO_OPTIMIZED`: the code of a function, not that of a module or of a class's body."""


class FileUse(NamedTuple):
    """The first use of a file by a process: `call` into it, or `type` of an argument."""

    nanoseconds: int
    process: str
    kind: str
    path: str


class CallTrace:
    """A folder that traced processes write into. Nothing is recorded but in `recording`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "recording").write_bytes(b"\0")
        self.sitecustomize = (
            f"import sys\nsys.path.append({str(REPOSITORY)!r})\n"
            f"from tests.support.call_trace import install\ninstall({str(folder)!r})\n"
        )
        """The code that makes a Python process a traced one."""
        self._recordings = 0

    @contextmanager
    def recording(self) -> Iterator[list[FileUse]]:
        """Record during the block; the list is filled at its end, in order of time."""
        self._recordings += 1
        found: list[FileUse] = []
        self._switch(self._recordings)
        try:
            yield found
        finally:
            self._switch(0)
        for file in self.folder.glob(f"{self._recordings}-*"):
            lines = file.read_text(encoding="utf-8").splitlines()
            uses = [line.split("\t") for line in lines]
            found += [FileUse(int(at), process, kind, path) for at, process, kind, path in uses]
        found.sort()

    def _switch(self, recording: int) -> None:
        with (self.folder / "recording").open("r+b") as file:
            file.write(bytes([recording]))


def install(folder: str) -> None:
    """Trace this process, in all threads that it starts from now on."""
    with open(f"{folder}/recording", "rb") as file:
        flag = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)
    trace = _tracer(folder, flag)
    threading.setprofile(trace)
    sys.setprofile(trace)


def _tracer(folder: str, flag: mmap.mmap) -> Callable[[FrameType, str, Any], None]:
    seen: set[object] = set()

    def note(recording: int, kind: str, path: str) -> None:
        if (recording, kind, path) not in seen:
            seen.add((recording, kind, path))
            line = "\t".join((str(time.monotonic_ns()), _process_name(), kind, path))
            with open(f"{folder}/{recording}-{os.getpid()}", "a", encoding="utf-8") as file:
                file.write(line + "\n")

    def trace(frame: FrameType, event: str, _: Any) -> None:
        recording, code = flag[0], frame.f_code
        if not recording or event != "call" or (recording, code) in seen:
            return
        if not code.co_filename.startswith(PRODUCT) or not code.co_flags & FUNCTION_FLAG:
            return
        if _while_importing(frame) or threading.current_thread().name.startswith(BESIDE_THE_WAY):
            return
        seen.add((recording, code))
        note(recording, "call", code.co_filename.removeprefix(f"{REPOSITORY}/"))
        for value in list(frame.f_locals.values()):
            for path in _files_of_types(value):
                note(recording, "type", path)

    return trace


def _while_importing(frame: FrameType) -> bool:
    outer: FrameType | None = frame
    while outer is not None:
        if outer.f_code.co_name == "<module>" and outer.f_globals.get("__name__") != "__main__":
            return True
        outer = outer.f_back
    return False


def _files_of_types(value: object) -> Iterator[str]:
    """The files that define the class of a value, or of the first item of a sequence."""
    for one in (value, *value[:1]) if isinstance(value, list | tuple) else (value,):
        module = sys.modules.get(type(one).__module__)
        file = getattr(module, "__file__", None) or ""
        if file.startswith(PRODUCT):
            yield file.removeprefix(f"{REPOSITORY}/")


def _process_name() -> str:
    """What the process was started as: `starling work`, `infra.entrypoints.api_process`, ..."""
    words = sys.orig_argv[1:]
    if "-m" in words:
        return words[words.index("-m") + 1]
    return f"starling {words[1]}"
