"""Several processes give the same commands on one log: what is unique stays unique."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from commands.handler import CommandHandler
from commands.post import CreatePost
from commands.request import CommandRequest
from commands.user import Register
from events import schema
from events.codec import EVENT_CODEC
from events.ids.snowflake import first_id_at
from infra.sqlite.event_log import SqliteLog
from streams.export.verify import verify_log
from tests.support.command_process import HANDLES
from tests.support.requirements import REPOSITORY

PROCESSES = 3
POSTS = 40


async def test_processes_that_race_make_no_double_account_like_or_edit(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    ids = iter(range(first_id_at(1_600_000_000_000), 1 << 62))
    handler = CommandHandler(log, lambda: next(ids))
    anna = (await handler.handle(CommandRequest(Register("anna", "Anna"), 0))).id
    posts = [
        (await handler.handle(CommandRequest(CreatePost("hi"), anna))).id for _ in range(POSTS)
    ]
    outcomes = race(tmp_path, [str(anna), *map(str, posts)])
    events = [EVENT_CODEC.decode_stored(stored).event for stored in log.read_all(limit=1 << 30)]

    registered = {e.handle: e.user for e in events if isinstance(e, schema.UserRegistered)}
    assert registered.keys() == {"anna", *HANDLES}
    accounts = Counter(e.handle for e in events if isinstance(e, schema.UserRegistered))
    assert set(accounts.values()) == {1}
    winners = [id for command, id in outcomes if command == "Register" and id is not None]
    assert sorted(winners) == sorted(id for name, id in registered.items() if name != "anna")

    assert {command for command, id in outcomes if id is None} <= {"Register", "EditPost"}
    likes = [(e.post, e.user) for e in events if isinstance(e, schema.PostLiked)]
    assert sorted(likes) == sorted((post, anna) for post in posts)

    edits = [e.text for e in events if isinstance(e, schema.PostEdited)]
    done = [id for command, id in outcomes if command == "EditPost" and id is not None]
    assert len(edits) == len(set(edits)) == len(done)
    assert list(verify_log(log)) == []
    log.close()


def race(folder: Path, about: list[str]) -> list[tuple[str, int | None]]:
    """What all processes were told, started at one moment."""
    with ExitStack() as ends:
        processes = [
            ends.enter_context(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.support.command_process",
                        folder,
                        str(machine),
                        *about,
                    ],
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for machine in range(PROCESSES)
        ]
        for process in processes:
            ends.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        outcomes: list[tuple[str, int | None]] = []
        for process in processes:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            outcomes += [(command, id) for command, id in json.loads(out)]
        return outcomes
