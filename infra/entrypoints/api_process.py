"""An API process: `python -m infra.entrypoints.api_process --listener FD --lifeline FD`, started by
`starling serve`.

It takes the listening socket and the lifeline from its parent, and its settings from the
environment that the parent gave it.
"""

import argparse
import socket

from infra.process.memory import collect_no_garbage


def main() -> None:
    """Run until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    # Until the program is there, of which nothing is garbage: a seventh of the time it takes.
    collect_no_garbage()
    from infra.entrypoints.api_server import run_api_process

    run_api_process(socket.socket(fileno=arguments.listener), arguments.lifeline)


if __name__ == "__main__":
    main()
