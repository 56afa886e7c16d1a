"""Waiting in tests for what another thread or process does, and not waiting at all."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 90.0


async def wait_until(
    condition: Callable[[], bool],
    task: "asyncio.Task[Any] | None" = None,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Wait until `condition()` is true, or until `task` ends, which is a failure.

    Raises `TimeoutError`, and what the task raised.
    """
    async with asyncio.timeout(seconds):
        while True:
            before = time.thread_time()
            if condition():
                return
            if task is not None and task.done():
                task.result()
                raise AssertionError("it ended by itself")
            # A look that costs much, as one at all processes, is rare: it would slow them down.
            await asyncio.sleep(max(0.02, 4 * (time.thread_time() - before)))


def never_sleep(seconds: float) -> None:
    """For an id generator that must not have to wait for its clock in a test."""
    raise AssertionError(f"no test waits {seconds} s for its clock")
