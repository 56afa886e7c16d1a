"""Puts the demo world into an empty data folder, the way every import goes."""

import json
from itertools import islice

from api.imports import WINDOW, Imports
from api.passwords import Passwords
from api.signing import Signing
from events.log import START
from infra import demo
from infra.command_side import command_side
from infra.settings import Settings

SEED = 1


async def make(settings: Settings) -> bool:
    """True once the world is there; False, and nothing done, where the log holds anything."""
    with command_side(settings) as side:
        if side.log.head() > START:
            return False
        signing = Signing(side, Passwords())
        imports = Imports(side.log, side.handler, side.accounts, signing.join, side.importing)
        world = demo.commands(SEED, side.clock_ms())
        lines = (json.dumps(line).encode() for line in world)
        while window := list(islice(lines, WINDOW)):
            for result in await imports.run(window):
                if result.status >= 400:
                    raise RuntimeError(f"the demo world's line {result.key}: {result.problem}")
    return True
