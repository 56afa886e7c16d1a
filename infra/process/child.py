"""Python modules run as processes of their own, for work that must not hold up this one."""

import asyncio
import sys
from collections.abc import Mapping, Sequence


async def run_child(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `python -m module`; its exit status. The process is killed where this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
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
