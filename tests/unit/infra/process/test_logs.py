import json
import subprocess
import sys

import pytest

from tests.support.requirements import REPOSITORY

MONGODB = "mongodb" + "://ada:correct-horse@host:27017/starling"


def run(log_format: str, code: str) -> list[str]:
    """The lines that a process writes to stderr after it configured its logs."""
    program = f"""
import asyncio, logging, threading, warnings
from infra.process.logs import configure_logs, name_process
configure_logs({log_format!r}, "relay", lambda: {{"request_id": "r-1"}})
logger = logging.getLogger("infra.some_module")
{code}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, text=True, stderr=subprocess.PIPE,
        timeout=60, check=False,
    )  # fmt: skip
    return done.stderr.splitlines()


def test_a_record_in_json_is_one_object_with_its_process_and_its_request() -> None:
    [line] = run("json", 'name_process("relay-2"); logger.info("published %d", 7)')
    record = json.loads(line)
    assert record["message"] == "published 7"
    assert (record["level"], record["logger"]) == ("info", "infra.some_module")
    assert (record["process"], record["request_id"]) == ("relay-2", "r-1")
    assert record["time"].endswith("Z")
    assert record["pid"] > 1


def test_a_record_on_a_console_is_a_line_for_people() -> None:
    assert run("console", 'logger.warning("trying again")') == [
        "starling: trying again [request_id=r-1]"
    ]


@pytest.mark.parametrize(
    "failing",
    [
        "1 / 0",
        "threading.Thread(target=lambda: 1 / 0).start()",
        "asyncio.run(asyncio.sleep(1 / 0))",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logger.exception('it failed')",
    ],
)
def test_a_traceback_in_json_is_within_one_record(failing: str) -> None:
    [line] = run("json", failing)
    record = json.loads(line)
    assert record["traceback"].startswith("Traceback (most recent call last):\n")
    assert "ZeroDivisionError" in record["traceback"]


def test_what_libraries_say_goes_the_same_way() -> None:
    lines = run(
        "json",
        """
import uvicorn
uvicorn.Config("")
configure_logs("json", "api")
logging.getLogger("uvicorn.error").error("from Uvicorn")
logging.getLogger("mode.worker").warning("from Faust")
logging.getLogger("kafka.conn").warning("a connection was refused")
warnings.warn("from a library")
""",
    )
    messages = [json.loads(line)["message"] for line in lines]
    assert messages[:2] == ["from Uvicorn", "from Faust"]
    assert "from a library" in messages[2]
    assert len(messages) == 3


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_holds_a_password_or_a_token(log_format: str) -> None:
    code = f"""
try:
    raise OSError("no answer from {MONGODB}")
except OSError as error:
    logger.exception("%s", error, extra={{"fields": {{"address": "{MONGODB}"}}}})
logger.error("refused: authorization: Bearer abcdefgh.ijklmnop-123")
"""
    written = "\n".join(run(log_format, code))
    assert "correct-horse" not in written
    assert "ijklmnop" not in written
    assert written.count("mongodb://...@host:27017") == 3
