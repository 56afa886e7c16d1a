"""The CrisisLex tweets as lines of commands: each is posted at the time in its id.

Rows are `id,text,source,type,informativeness`, texts with HTML's entities. The data names no
authors, so that every tweet gets an account of its own, made the second before.
"""

import csv
import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.text import normalise_text
from events.ids.snowflake import first_id_at, time_ms


def commands(path: Path) -> Iterator[dict[str, Any]]:
    """Every line in the order of its time."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        next(rows)
        tweets = sorted((int(tweet), text) for tweet, text, *_ in rows)
    for tweet, text in tweets:
        handle = f"t{tweet}"
        yield {
            "command": "register",
            "key": f"account-{tweet}",
            "at": str(first_id_at(time_ms(tweet) - 1000)),
            "data": {"handle": handle, "name": "Unknown"},
        }
        yield {
            "command": "post",
            "as": f"@{handle}",
            "key": f"tweet-{tweet}",
            "at": str(tweet),
            "data": {"text": normalise_text(html.unescape(text))},
        }
