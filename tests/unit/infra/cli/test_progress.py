"""Progress on a terminal."""

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.support import big_logs
from tests.support.starling_program import STARLING, starling, starling_environment


def run_on_terminal(command: list[str | Path]) -> str:
    """What a terminal shows of a program whose stdout and stderr it is."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env=starling_environment(TERM="xterm")
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            shown += piece
        process.wait()
    os.close(ours)
    return shown.decode()


def test_events_on_a_terminal_have_no_bar_among_them(tmp_path: Path) -> None:
    data = big_logs.create_post_log(tmp_path / "data", 50)
    shown = run_on_terminal([STARLING, "replay", "--data", data])
    whole = starling("replay", "--data", data).stdout.decode()
    assert shown.replace("\r\n", "\n") == whole
    beside = run_on_terminal([STARLING, "replay", "--data", data, "-o", tmp_path / "out.jsonl"])
    assert "events" in beside
    assert "50/50" in beside


def test_the_rate_of_an_import_is_that_of_what_was_done(tmp_path: Path) -> None:
    line = b'{"command": "register", "data": {"handle": "h%d", "name": "N"}}\n'
    file = tmp_path / "lines"
    file.write_bytes(b"".join(line % number for number in range(6000)))
    shown = run_on_terminal([STARLING, "import", file, "--data", tmp_path / "data"])
    rates = [int(rate.replace(",", "")) for rate in re.findall(r"([\d,]+)/s", shown)]
    assert rates
    assert 0 < max(rates) < 5_000_000
