"""Python modules run as processes of their own, for work that must not hold up this one."""

import asyncio
import sys
from collections.abc import Mapping, Sequence


def python_command(*arguments: str) -> list[str]:
    """The command line of a Python process of ours; every one is started with it.

    `-P` keeps the working directory out of the import path: with `-m` or `-c` alone, a file
    `api.py` or `json.py` that happens to lie there would be imported in place of the real one.
    """
    return [sys.executable, "-P", *arguments]


async def run_child(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `python -m module`; its exit status. The process is killed where this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *python_command("-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the parent, which then ends it
        env=environment,
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
