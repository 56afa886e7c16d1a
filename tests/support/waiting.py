"""Waiting in tests for what another thread or process does, and not waiting at all."""

import asyncio
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
        while not condition():
            if task is not None and task.done():
                task.result()
                raise AssertionError("it ended by itself")
            await asyncio.sleep(0.02)


def never_sleep(seconds: float) -> None:
    """For an id generator that must not have to wait for its clock in a test."""
    raise AssertionError(f"no test waits {seconds} s for its clock")
