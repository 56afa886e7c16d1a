"""A Faust agent that only counts the records of a topic: SERVERS TOPIC RECORDS.

Prints how many it took a second, from the first to the last, and ends.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faust


def main(servers: str, name: str, records: int) -> None:
    """Count until all are there."""
    app = faust.App(
        f"counting-{name}", broker=f"aiokafka://{servers}", store="memory://", web_enabled=False,
        autodiscover=False, topic_allow_declare=False, topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )  # fmt: skip
    topic = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw",
                      value_serializer="raw")  # fmt: skip

    async def count(stream: Any) -> None:
        counted, started = 0, 0.0
        async for _ in stream:
            if not counted:
                started = time.perf_counter()
            counted += 1
            if counted == records:
                print((counted - 1) / (time.perf_counter() - started), flush=True)
                os.kill(os.getpid(), signal.SIGTERM)

    app.agent(topic)(count)
    worker = faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False)
    worker.spinner = None
    with tempfile.TemporaryDirectory() as folder:
        app.conf.datadir = Path(folder)
        worker.execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
