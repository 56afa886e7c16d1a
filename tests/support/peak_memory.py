"""The most memory that a process ever used."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.starling_program import starling_environment

_MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def peak_kb(command: Sequence[str | Path]) -> int:
    """Peak resident memory of a command in KiB; it must succeed.

    Measured from a process as small as can be: Linux counts to a process what its parent used
    when it was forked.
    """
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command],
        env=starling_environment(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)
