"""The watch over the log goes on, whatever happens to a look."""

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from infra.in_memory.event_log import MemoryLog
from infra.streaming import log_watch
from infra.streaming.log_watch import LogWatch
from tests.support.waiting import wait_until


async def test_an_unexpected_error_is_reported_and_the_watch_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = [None, KeyError("what no one thought of"), None]

    class Registry:
        def __init__(self, database: object) -> None: ...

        async def read(self) -> object:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer is not None:
                raise answer
            return SimpleNamespace(topic="", log="")

    async def read_newest(database: object, topic: str) -> None: ...

    def find_difference(*looked: object) -> str | None:
        return "another log" if len(answers) == 1 else None

    monkeypatch.setattr(log_watch, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(log_watch, "ViewRegistry", Registry)
    monkeypatch.setattr(log_watch, "read_newest", read_newest)
    monkeypatch.setattr(log_watch, "difference_from_log", find_difference)
    async with LogWatch(None, MemoryLog()).running() as watch:  # type: ignore[arg-type]
        await wait_until(lambda: watch.problem == "another log")
    assert _errors(caplog.records) == [KeyError, None]


def _errors(records: Sequence[logging.LogRecord]) -> list[Any]:
    return [one.exc_info and one.exc_info[0] for one in records]
