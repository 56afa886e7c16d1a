"""A process that appends to a log and prints what was acknowledged.

    python -m tests.support.log_writer_process ADAPTER FOLDER FIRST COUNT

Prints `ready`, and starts once its standard input has a line or ends. Makes the posts FIRST to
FIRST + COUNT - 1, eight at a time, and for every post an attempt to be the next in one stream that
all writers fight for. Each acknowledged post is a line with its number, printed before the next.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from events.log import EventLog, WrongVersion
from tests.support.log_adapters import LOG_ADAPTERS, like_append, post_append

CONTESTED_STREAM = "like-1-1"
CONTESTED_NUMBERS = 1 << 40
"""Added to a post's number for the event in the contested stream."""


async def append_posts(log: EventLog, numbers: Iterator[int]) -> None:
    """Append for each number, until there are no more."""
    version = 0
    for number in numbers:
        await log.append(post_append(number, key=f"post {number}"))
        print(number, flush=True)  # noqa: T201 - the acknowledgement
        try:
            # Only what is new of a stream that grows with each post.
            version += len(await asyncio.to_thread(log.read_stream, CONTESTED_STREAM, version))
            await log.append(like_append(CONTESTED_STREAM, version, CONTESTED_NUMBERS + number))
        except WrongVersion:
            continue  # another writer was quicker, which is the point


async def main(adapter: str, folder: str, first: str, count: str) -> None:
    """Write with eight tasks that share the numbers."""
    log = LOG_ADAPTERS[adapter].open(Path(folder))
    print("ready", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)
    numbers = iter(range(int(first), int(first) + int(count)))
    await asyncio.gather(*(append_posts(log, numbers) for _ in range(8)))
    log.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
