"""A real follow graph as lines of commands, the form that `starling import` takes.

The file holds pairs `[src, trg]` and doesn't say which end follows. Here trg follows src: the graph
comes from research on how influence spreads along its edges, and what a person writes goes to the
followers. Read so, some have thousands of followers (3,469 at most) and no account follows more
than 567, as in a social network; the other way round it would be the reverse. The file has no
times, so that the lines have none.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = "twitter_bofa_careers.json"


def handle(account: int) -> str:
    """The handle that an account of the graph gets."""
    return f"a{account}"


def account_key(account: int) -> str:
    """The key of the line that registers an account."""
    return f"graph-account-{account}"


def read_edges(folder: Path) -> list[tuple[int, int]]:
    """(followee, follower) of every edge."""
    graph = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return [(followee, follower) for followee, follower in graph["edges"]]


def commands(folder: Path) -> Iterator[dict[str, Any]]:
    """A registration for every account, then a follow for every edge, in the order of the file."""
    graph = json.loads((folder / FILE).read_text(encoding="utf-8"))
    for account in graph["labels"]:
        name = handle(int(account))
        yield {
            "command": "register",
            "as": f"@{name}",
            "key": account_key(int(account)),
            "data": {
                "handle": name,
                "name": f"Account {account}",
                "email": f"{name}@example.org",
            },
        }
    for followee, follower in graph["edges"]:
        yield {
            "command": "follow",
            "as": f"@{handle(follower)}",
            "key": f"graph-follow-{followee}-{follower}",
            "data": {"user": f"key:{account_key(followee)}"},
        }


def write_part(folder: Path, part: Path, edges: int) -> Path:
    """A folder with the first edges of the graph alone, and the accounts that they are between."""
    graph = json.loads((folder / FILE).read_text(encoding="utf-8"))
    kept = graph["edges"][:edges]
    accounts = {str(account) for edge in kept for account in edge}
    labels = {account: label for account, label in graph["labels"].items() if account in accounts}
    part.mkdir()
    (part / FILE).write_text(json.dumps({"labels": labels, "edges": kept}), encoding="utf-8")
    return part
