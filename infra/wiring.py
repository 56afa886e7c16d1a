"""The assembly of an API process: from settings to an application.

The writing half comes from `infra.command_side`; this adds what reads: the current views, the
board that tells what changed, the rings of the home timelines.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from api.app import build
from api.auth import Tokens
from api.ports import Lag, Ports
from infra.command_side import clock_ms, command_side, signing_secret
from infra.projector import VIEWS
from infra.settings import Settings
from infra.views.board import BoardReader
from infra.views.current import CurrentViews
from infra.views.rings import Rings
from infra.views.sqlite import SqliteStore
from infra.wakeups import Wakeups
from projections.catalog import CATALOG
from projections.home import Home
from projections.projection import Projection
from projections.store import ReadStore
from streams.dead_letters import kept


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application of one API process. Raises what opening its parts raises."""
    with ExitStack() as stack:
        side = stack.enter_context(command_side(settings))
        board = BoardReader(settings.board_file)
        stack.callback(board.close)
        views = CurrentViews(settings.views_folder, CATALOG, board, _open_to_read)
        rings = Rings(settings.rings_folder)
        wakeups = Wakeups(settings.data)

        async def wait_for(projections: Collection[str], position: int, timeout: float) -> bool:
            def there() -> bool:
                return all(board.position(name) >= position for name in projections)

            return await wakeups.wait(VIEWS, there, timeout)

        def lag() -> list[Lag]:
            head = side.log.head()
            return [Lag(p.name, board.position(p.name), head) for p in CATALOG]

        yield build(
            Ports(
                log=side.log,
                handler=side.handler,
                references=side.references,
                views=views,
                home=Home(lambda: views.store("timeline"), rings),
                accounts=side.accounts,
                tokens=Tokens(signing_secret(settings), clock_ms),
                clock_ms=clock_ms,
                new_id=side.new_id,
                importing=side.importing,
                changes=board.touched,
                wait_for=wait_for,
                lag=lag,
            )
        )


def _open_to_read(path: Path, projection: Projection) -> ReadStore:
    return SqliteStore.open(path, kept(projection), read_only=True)
