"""Lines of NDJSON, as imports send them: `{"command", "as", "key", "at", "data"}`.

`as`, and the ids in `data`, are references (`commands.references`). A `register` line needs no
`as`; its email and password never become part of a command, and no error message holds a value.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from commands import keys
from commands.catalog import CATALOG
from commands.decider import Command
from commands.errors import Invalid
from commands.line_data import SHAPES, Registration
from commands.references import References
from commands.request import Request
from commands.times import parse_time
from commands.user import Register
from events.snowflake import EPOCH_MS, LAST_MS


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line; `data` is still JSON, to be read once the command is known."""

    command: str
    as_: str | None = msgspec.field(default=None, name="as")
    key: str | None = None
    at: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Credentials(msgspec.Struct, frozen=True):
    """What a new account signs in with. Never shown, not even in a traceback."""

    email: str | None
    password: str | None

    def __repr__(self) -> str:
        return "Credentials(...)"


_line = msgspec.json.Decoder(Line)
_data = {name: (msgspec.json.Decoder(shape), build) for name, (shape, build) in SHAPES.items()}


def parse(line: bytes) -> Line:
    """A line, its data unread. Raises `Invalid`, naming the field that is wrong."""
    try:
        parsed = _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid("line-invalid", f"not a line of a command: {wrong}") from None
    if parsed.command not in CATALOG:
        raise Invalid(
            "command-unknown", f"no command {parsed.command!r}; there are {', '.join(CATALOG)}"
        )
    return parsed


def command_of(line: Line, references: References) -> Command:
    """The command that a line gives. Raises `Invalid` and `NotFound`."""
    data, build = _read(line)
    return build(data, references)


def credentials_of(line: Line) -> Credentials | None:
    """What a registered account is to sign in with; None for every other command."""
    data, _ = _read(line)
    return Credentials(data.email, data.password) if isinstance(data, Registration) else None


def request_of(line: Line, timed: Callable[[int], int], references: References) -> Request:
    """All that a line asks for. `timed` gives an id of a Unix ms, for lines with `at`.

    `partial(request_of, line, timed)` can be given to `Handler.handle_many`, which resolves the
    references when the lines before are done. Raises `Invalid` and `NotFound`.
    """
    command = command_of(line, references)
    actor = 0
    if not isinstance(command, Register):
        if line.as_ is None:
            raise Invalid("as-missing", "'as' is missing: say who gives the command")
        actor = references.user(line.as_)
    key = None if line.key is None else keys.of_import(line.key, command, actor, line.at or "")
    return Request(command, actor, key, None if line.at is None else _ids_at(line.at, timed))


def _ids_at(at: str, timed: Callable[[int], int]) -> Callable[[], int]:
    ms = parse_time(at)
    if not EPOCH_MS <= ms <= LAST_MS:
        raise Invalid("time-out-of-range", "'at' must lie between 2010-11-05 and 2080-07-10")
    return partial(timed, ms)


def _read(line: Line) -> tuple[Any, Callable[[Any, References], Command]]:
    decoder, build = _data[line.command]
    try:
        return decoder.decode(line.data), build
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid("data-invalid", f"the data of {line.command!r} is wrong: {wrong}") from None
