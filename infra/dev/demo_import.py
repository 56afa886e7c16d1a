"""Puts the demo world into an empty data folder, the way every import goes."""

import json
from itertools import islice

from api.accounts.passwords import BoundedPasswordHasher
from api.accounts.registration import AccountRegistrar
from api.bulk.command_importer import WINDOW_LINES, CommandImporter
from events.log import LOG_START
from infra.dev import demo_world
from infra.settings import Settings
from infra.wiring.write_side import open_write_side

DEMO_SEED = 1


async def import_demo_world(settings: Settings) -> bool:
    """True once the world is there; False, and nothing done, where the log holds anything."""
    with open_write_side(settings) as side:
        if side.log.head() > LOG_START:
            return False
        registrar = AccountRegistrar(side, BoundedPasswordHasher())
        imports = CommandImporter(
            side.log, side.handler, side.accounts, registrar.register_account, side.open_import_ids
        )
        world = demo_world.generate_commands(DEMO_SEED, side.clock_ms())
        lines = (json.dumps(line).encode() for line in world)
        while window := list(islice(lines, WINDOW_LINES)):
            for result in await imports.run_lines(window):
                if isinstance(result.outcome, Exception):
                    message = f"the demo world's line {result.key}: {result.outcome}"
                    raise RuntimeError(message) from result.outcome
    return True
