"""Read models in a database of a test's own."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from infra.engines.mongodb import MongoServer
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.views.mongo import MongoStore
from projections.projection import Projection
from projections.store import ReadStore
from projections.tables import Table, Tally


def fresh(server: MongoServer) -> str:
    """The address of a database that nobody else uses."""
    return server.address(f"test-{uuid.uuid4().hex}")


@asynccontextmanager
async def opened(
    address: str, tables: Sequence[Table[Any] | Tally[Any]], view: str = "things_1"
) -> AsyncIterator[MongoStore]:
    """A view over a connection of its own."""
    with connected(address, WRITE_SECONDS) as database:
        yield await MongoStore.open(database, view, tables)


@asynccontextmanager
async def database(server: MongoServer) -> AsyncIterator[Database]:
    """A new database, dropped afterwards."""
    with connected(fresh(server), WRITE_SECONDS) as opened:
        yield opened
        await opened.client.drop_database(opened.name)


async def rows(projection: Projection, store: ReadStore) -> Mapping[str, list[Any]]:
    """Every row of a projection; counts of nothing are left out."""
    return {
        table.name: [
            row
            for row in await store.scan(table)
            if isinstance(table, Table) or any(row[table.key :])
        ]
        for table in projection.tables
    }
