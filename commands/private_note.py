"""Private notes: what a user writes about an account, for their own eyes."""

from typing import Final

from commands import rules, text
from commands.decider import (
    NO_EVENTS,
    Aggregate,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
    subject_user,
)
from commands.errors import InvalidInput
from events import streams
from events.schema import PrivateNoteChanged

MAX_NOTE_LENGTH: Final = 2000


class WriteNote(Command, frozen=True):
    """Write a note about `user`, in place of the one before; an empty one takes it away."""

    user: int
    text: str


NOTE = Aggregate(
    "", lambda note, event: event.note if isinstance(event, PrivateNoteChanged) else note
)
"""Of a stream `note-<user>-<subject>`: the note, empty for none."""


def _checked_note(written: str) -> str:
    note = text.normalise_bounded(written, MAX_NOTE_LENGTH)
    if len(note) > MAX_NOTE_LENGTH:
        raise InvalidInput(
            "note-too-long",
            f"the note has {len(note)} characters; shorten it to {MAX_NOTE_LENGTH}",
        )
    if text.has_control_characters(note):
        raise InvalidInput("note-invalid", "the note holds control characters; take them out")
    return note


def _decide_note(command: WriteNote, context: CommandContext, read_state: ReadState) -> Decision:
    note = _checked_note(command.text)
    rules.require_active_actor(context, read_state)
    rules.require_known_user(command.user, read_state)
    stream = streams.note_stream(context.actor, command.user)
    if context.open_text(read_state(stream, NOTE)) == note:
        return NO_EVENTS
    return (StreamWrite(stream, (PrivateNoteChanged(context.actor, command.user, note),)),)


WRITE_NOTE: Final[Decider[WriteNote]] = Decider(WriteNote, _decide_note, subject_id=subject_user)
