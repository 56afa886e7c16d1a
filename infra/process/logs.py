"""The log lines of every process: one record a line on stderr, for people or as JSON.

Standard `logging`, configured here and nowhere else; libraries' loggers (Uvicorn's, Faust's,
Kafka's) go the same way. `STARLING_LOG_FORMAT` chooses: `console` (`starling: the message`, and a
traceback below it) or `json` (one object a line, a traceback within it). A record of a request
carries its `request_id`, and, once it appended events, their `correlation`.
"""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Literal

from infra.process.terminal_text import escape_controls, on_one_line

LogFormat = Literal["console", "json"]

ReadContext = Callable[[], Mapping[str, str]]
"""What is being done now: fields to add to a record."""

_OWN_LOGGERS: Final = ("api", "commands", "events", "infra", "projections", "streams")
_QUIET_LOGGERS: Final = {"kafka": logging.ERROR}
"""kafka-python warns of each refused connection, beside what the relay and the workers say."""
_REPLACED_LOGGERS: Final = ("uvicorn", "uvicorn.access", "uvicorn.error")
"""Those to which a program that imports this one as an application gives handlers."""

_SECRETS: Final = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE), r"\1...@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1 ..."),
)
"""What drivers put into messages: addresses with passwords, and headers."""


def configure_logs(log_format: LogFormat, process: str, read_context: ReadContext = dict) -> None:
    """Send the records of this process to stderr. `process` names it in JSON: `api`, `relay`.

    Errors that end the process or a thread become records, too. Call it once, when the process
    starts.
    """
    formatter = _JsonFormatter(process) if log_format == "json" else _ConsoleFormatter()
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(_ContextFilter(read_context))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    for name in _REPLACED_LOGGERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    sys.excepthook = _log_fatal_error
    threading.excepthook = _log_thread_error


def name_process(name: str) -> None:
    """Have log records of this process say this name from now on: `api-2`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _JsonFormatter):
            handler.formatter.process = name


def logs_are_json() -> bool:
    """Whether this process writes JSON, so that no other line may stand between."""
    return any(isinstance(each.formatter, _JsonFormatter) for each in logging.getLogger().handlers)


class _ContextFilter(logging.Filter):
    """Adds what is being done to each record, in the task or thread that made it."""

    def __init__(self, read_context: ReadContext) -> None:
        super().__init__()
        self._read_context = read_context

    def filter(self, record: logging.LogRecord) -> bool:
        record.context = dict(self._read_context())
        return True


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"starling: {record.getMessage().rstrip()}"
        if fields := _fields_of(record):
            text += f" [{' '.join(f'{name}={value}' for name, value in fields.items())}]"
        text = on_one_line(text)
        if record.exc_info:
            text += f"\n{escape_controls(self.formatException(record.exc_info))}"
        return _without_secrets(text)


class _JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{when}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self.process,
            "pid": record.process,
            "logger": record.name,
            "message": _without_secrets(record.getMessage()),
        }
        line |= {name: _without_secrets(str(value)) for name, value in _fields_of(record).items()}
        if record.exc_info:
            line["traceback"] = _without_secrets(self.formatException(record.exc_info))
        return escape_controls(json.dumps(line, ensure_ascii=False, separators=(",", ":")))


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The context of a record, and what its maker gave as `extra={"fields": ...}`."""
    return {**getattr(record, "context", {}), **getattr(record, "fields", {})}


def _without_secrets(text: str) -> str:
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _log_fatal_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        message = "the process ends: %s: %s"
        logging.getLogger(__name__).critical(
            message, kind.__name__, error, exc_info=(kind, error, trace)
        )


def _log_thread_error(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
        logging.getLogger(__name__).error(
            "a thread ended: %s", given.exc_value,
            exc_info=(given.exc_type, given.exc_value, given.exc_traceback),
        )  # fmt: skip
