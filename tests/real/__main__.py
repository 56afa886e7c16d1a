"""`python -m tests.real ldbc|follow-graph FOLDER`: a data set as NDJSON for `starling import -`."""

import json
import sys
from pathlib import Path

from tests.real import follow_graph, ldbc

CONVERTERS = {"ldbc": ldbc.commands, "follow-graph": follow_graph.commands}


def main() -> None:
    """Write the lines to stdout."""
    if len(sys.argv) != 3 or sys.argv[1] not in CONVERTERS:
        sys.exit(f"usage: python -m tests.real {'|'.join(CONVERTERS)} FOLDER")
    for line in CONVERTERS[sys.argv[1]](Path(sys.argv[2])):
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
