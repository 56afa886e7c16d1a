"""Lines of NDJSON, as imports send them: `{"command", "as", "key", "at", "data"}`.

`as`, and the ids in `data`, are references (`commands.references`). A `register` line needs no
`as`; its email and password never become part of a command, and no error message holds a value.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from commands import idempotency
from commands.decider import Command
from commands.errors import InvalidInput
from commands.import_line_data import COMMAND_BUILDERS, RegistrationData
from commands.references import ReferenceResolver
from commands.registry import DECIDERS_BY_NAME
from commands.request import CommandRequest
from commands.times import parse_time
from commands.user import Register
from events.ids.snowflake import EPOCH_MS, LAST_MS


class ImportLine(msgspec.Struct, forbid_unknown_fields=True):
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


_line_decoder = msgspec.json.Decoder(ImportLine)
_data_decoders = {
    name: (msgspec.json.Decoder(shape), build) for name, (shape, build) in COMMAND_BUILDERS.items()
}


def parse_import_line(line: bytes) -> ImportLine:
    """A line, its data unread. Raises `InvalidInput`, naming the field that is wrong."""
    try:
        parsed = _line_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise InvalidInput("line-invalid", f"not a line of a command: {wrong}") from None
    if parsed.command not in DECIDERS_BY_NAME:
        raise InvalidInput(
            "command-unknown",
            f"no command {parsed.command!r}; there are {', '.join(DECIDERS_BY_NAME)}",
        )
    return parsed


def command_from_line(line: ImportLine, references: ReferenceResolver) -> Command:
    """The command that a line gives. Raises `InvalidInput` and `NotFound`."""
    data, build = _read_data(line)
    return build(data, references)


def credentials_from_line(line: ImportLine) -> Credentials | None:
    """What a registered account is to sign in with; None for every other command."""
    data, _ = _read_data(line)
    return Credentials(data.email, data.password) if isinstance(data, RegistrationData) else None


def request_from_line(
    line: ImportLine, timed: Callable[[int], int], references: ReferenceResolver
) -> CommandRequest:
    """All that a line asks for. `timed` gives an id of a Unix ms, for lines with `at`.

    `partial(request_of, line, timed)` can be given to `CommandHandler.handle_many`, which resolves
    the references when the lines before are done. Raises `InvalidInput` and `NotFound`.
    """
    command = command_from_line(line, references)
    actor = 0
    if not isinstance(command, Register):
        if line.as_ is None:
            raise InvalidInput("as-missing", "'as' is missing: say who gives the command")
        actor = references.user_id(line.as_)
    key = (
        None
        if line.key is None
        else idempotency.key_for_import(line.key, command, actor, line.at or "")
    )
    return CommandRequest(
        command, actor, key, None if line.at is None else _id_source_at(line.at, timed)
    )


def _id_source_at(at: str, timed: Callable[[int], int]) -> Callable[[], int]:
    ms = parse_time(at)
    if not EPOCH_MS <= ms <= LAST_MS:
        raise InvalidInput("time-out-of-range", "'at' must lie between 2010-11-05 and 2080-07-10")
    return partial(timed, ms)


def _read_data(line: ImportLine) -> tuple[Any, Callable[[Any, ReferenceResolver], Command]]:
    decoder, build = _data_decoders[line.command]
    try:
        return decoder.decode(line.data), build
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise InvalidInput(
            "data-invalid", f"the data of {line.command!r} is wrong: {wrong}"
        ) from None
