"""The LDBC SNB update stream as lines of commands, the form that `starling import` takes.

Each row is `time|time it depends on|type|values`, times in Unix ms, values of the types used here:

    1 person      person, first name, last name, gender, birthday, created, address, browser,
                  city, languages, emails, tags, schools, employers
    2, 3 like     person, message, created
    6 post        message, image, created, address, browser, language, text, length, author,
                  forum, country, tags
    7 comment     message, created, address, browser, text, length, author, country, answered post
                  or -1, answered comment or -1, tags
    8 friendship  person, other person, created

Posts and comments share one space of ids and are called messages here. Forums (4, 5) have no
counterpart in Starling. The stream lists a friendship once from each side, so that a row is one
follow. What rows refer to and the stream doesn't list was there before it began: such people and
messages are made in the seconds before the first row, the messages as posts of one author.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from commands.text import MAX_TEXT_LENGTH, normalise_text

Line = dict[str, Any]
Row = list[str]

AUTHOR_BEFORE = "before_the_stream"
"""The handle of who wrote the messages that the stream doesn't list."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
# Rows of one millisecond in an order in which nothing is referred to before it is made.
_ORDER = {"1": 0, "6": 1, "7": 2, "2": 3, "3": 3, "8": 3}


def handle(person: str) -> str:
    """The handle that a person of the stream gets."""
    return f"p{person}"


def person_key(person: str) -> str:
    """The key of the line that registers a person."""
    return f"ldbc-person-{person}"


def message_key(message: str) -> str:
    """The key of the line that makes a post or comment."""
    return f"ldbc-message-{message}"


def commands(folder: Path) -> Iterator[Line]:
    """Every line in the order of its time: first what was there before, then the stream."""
    rows = _rows(folder)
    used: Counter[str] = Counter()
    lines = []
    for row in rows:
        line = _line_of_row(row)
        used[line["key"]] += 1
        if used[line["key"]] > 1:  # some like the same message again
            line["key"] += f"-{used[line['key']]}"
        lines.append(line)
    yield from _lines_before_stream(lines, first_ms=int(rows[0][0]))
    yield from lines


def _rows(folder: Path) -> list[Row]:
    """The rows of all partitions that become commands, in the order of time."""
    rows: list[Row] = []
    for path in sorted(folder.glob("updateStream_*.csv")):
        with path.open(encoding="utf-8", newline="\n") as partition:
            rows += (line.rstrip("\n").split("|") for line in partition)
    return sorted(
        (row for row in rows if row[2] in _ORDER), key=lambda row: (int(row[0]), _ORDER[row[2]])
    )


def _line_of_row(row: Row) -> Line:
    at, _, kind, *values = row
    match kind:
        case "1":
            person, first, last = values[:3]
            email = values[10].partition(";")[0]  # some have none
            line = _registration(person, f"{first} {last}", email or _made_up_email(person))
        case "6":
            text = values[6] or values[1] or "A post without words"
            line = _command_line(
                "post", values[8], message_key(values[0]), text=_shorten_text(text)
            )
        case "7":
            message, text, author = values[0], values[4], values[6]
            answered = values[8] if values[8] != "-1" else values[9]
            line = _command_line(
                "comment",
                author,
                message_key(message),
                post=f"key:{message_key(answered)}",
                text=_shorten_text(text or "A comment without words"),
            )
        case "8":
            person, other = values[:2]
            key = f"ldbc-follow-{person}-{other}"
            line = _command_line("follow", person, key, user=f"key:{person_key(other)}")
        case _:
            person, message = values[:2]
            key = f"ldbc-like-{person}-{message}"
            line = _command_line("like", person, key, post=f"key:{message_key(message)}")
    return line | {"at": _rfc3339(int(at))}


def _command_line(command: str, person: str, key: str, **data: str) -> Line:
    return {"command": command, "as": f"@{handle(person)}", "key": key, "data": data}


def _registration(person: str, name: str, email: str) -> Line:
    return _command_line(
        "register", person, person_key(person), handle=handle(person), name=name, email=email
    )


def _made_up_email(person: str) -> str:
    return f"{handle(person)}@example.org"


def _lines_before_stream(lines: list[Line], first_ms: int) -> Iterator[Line]:
    """Lines that make what `lines` refer to and don't make, a second apart, before the first."""
    listed = {line["key"] for line in lines}
    people: dict[str, Line] = {}
    messages: dict[str, Line] = {}
    for line in lines:
        for kind, id in _references(line):
            if kind == "person" and person_key(id) not in listed:
                people[id] = _registration(id, f"Person {id}", _made_up_email(id))
            elif kind == "message" and message_key(id) not in listed:
                messages[id] = _earlier_message(id)
    made = [*people.values(), _author_before(), *messages.values()]
    for seconds, line in zip(range(len(made), 0, -1), made, strict=True):
        yield line | {"at": _rfc3339(first_ms - 1000 * seconds)}


def _references(line: Line) -> Iterator[tuple[str, str]]:
    """('person' or 'message', id in the stream) of all that has to be there before the line."""
    if line["command"] != "register":
        yield "person", line["as"].removeprefix("@p")
    for field in ("user", "post"):
        if reference := line["data"].get(field):
            _, kind, id = reference.removeprefix("key:").split("-")
            yield kind, id


def _author_before() -> Line:
    data = {"handle": AUTHOR_BEFORE, "name": "Before the stream", "email": "before@example.org"}
    return {
        "command": "register", "as": f"@{AUTHOR_BEFORE}", "key": "ldbc-author-before", "data": data,
    }  # fmt: skip


def _earlier_message(message: str) -> Line:
    return {
        "command": "post",
        "as": f"@{AUTHOR_BEFORE}",
        "key": message_key(message),
        "data": {"text": "A post from before the stream"},
    }


def _shorten_text(text: str) -> str:
    return normalise_text(text)[:MAX_TEXT_LENGTH]


def _rfc3339(ms: int) -> str:
    moment = _UNIX + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
