"""What is an order to a terminal is escaped, and nothing else."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.process.logs import _ConsoleFormatter, _JsonFormatter
from infra.process.terminal_text import escape_controls, on_one_line

HOSTILE = "\x1b]8;;http://x\x07 \x9b2J \u202e \x00 \r \x7f \ud800 \U000e0041"


def test_orders_to_a_terminal_are_shown_as_json_writes_them() -> None:
    shown = escape_controls(HOSTILE)
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == HOSTILE


@pytest.mark.parametrize("text", ["Zoë ☃ 👩\u200d👩\u200d👧", "a\tb\nc", 'quote " \\', "שלום"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


@given(st.text(st.characters(exclude_categories=())))
def test_json_stays_the_same_value(text: str) -> None:
    line = json.dumps({"text": text}, ensure_ascii=False)
    assert json.loads(escape_controls(line)) == {"text": text}


def record(message: str, **fields: str) -> logging.LogRecord:
    made = logging.LogRecord("infra", logging.INFO, "", 0, "%s", (message,), None)
    made.fields = fields
    return made


def test_a_log_record_is_one_line_whatever_it_repeats() -> None:
    forged = record(f"refused {HOSTILE}\nstarling: all is well", path="/\x1b[2J\n")
    line = _ConsoleFormatter().format(forged)
    assert line.isprintable()
    assert line == on_one_line(line)
    written = _JsonFormatter("api").format(forged)
    assert written.isprintable()
    assert "\x1b[2J" in json.loads(written)["path"]
