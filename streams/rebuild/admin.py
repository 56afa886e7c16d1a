"""The administration of projections: what an operator asks of the process that owns the views."""

from typing import Literal

import msgspec

AdminVerb = Literal["switch", "rebuild", "cancel", "pause", "resume", "skip", "replay", "purge"]


class AdminCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do with a projection, and with which events of the log, by position."""

    what: AdminVerb
    projection: str
    positions: tuple[int, ...] = ()
    verify: bool = False


class AdminResult(msgspec.Struct, frozen=True):
    """Whether it was done, and a sentence about it."""

    done: bool
    text: str
