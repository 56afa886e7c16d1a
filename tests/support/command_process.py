"""A process that gives the same commands as others do at the same time, on one log.

    python -m tests.support.command_process FOLDER MACHINE ANNA POST...

Prints `ready` and starts once its standard input has a line. Registers HANDLES, likes each POST as
ANNA, singly and in a batch, and edits the first POST. Prints the outcomes as JSON: pairs of the
command's name and the id that it got, or null where it was refused.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from commands.errors import CommandRejected
from commands.handler import CommandHandler
from commands.like import Like
from commands.post import EditPost
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events.ids.generator import SnowflakeGenerator
from infra.sqlite.event_log import SqliteLog

HANDLES = [f"handle_{n}" for n in range(60)]
EDITS = 10


async def try_command(
    handler: CommandHandler, request: CommandRequest
) -> CommandOutcome | CommandRejected:
    """One command."""
    try:
        return await handler.handle(request)
    except CommandRejected as rejected:
        return rejected


async def main(folder: str, machine: str, anna: str, *posts: str) -> None:
    """Give the commands, eight at a time and in one batch."""
    log = SqliteLog(Path(folder) / "log.sqlite")
    ids = SnowflakeGenerator(int(machine), lambda: time.time_ns() // 1_000_000, time.sleep)
    handler = CommandHandler(log, ids.next_id)
    single = [CommandRequest(Register(handle, handle), 0) for handle in HANDLES]
    single += [CommandRequest(Like(int(post)), int(anna)) for post in posts[::2]]
    single += [
        CommandRequest(EditPost(int(posts[0]), f"{machine} {n}"), int(anna)) for n in range(EDITS)
    ]
    batch = [CommandRequest(Like(int(post)), int(anna)) for post in posts[1::2]]
    print("ready", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)
    outcomes: list[CommandOutcome | CommandRejected] = []
    for start in range(0, len(single), 8):
        together = single[start : start + 8]
        outcomes += await asyncio.gather(*(try_command(handler, one) for one in together))
    outcomes += await handler.handle_many(batch)
    printed = [
        (type(request.command).__name__, one.id if isinstance(one, CommandOutcome) else None)
        for request, one in zip(single + batch, outcomes, strict=True)
    ]
    print(json.dumps(printed), flush=True)  # noqa: T201
    log.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
