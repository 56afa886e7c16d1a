"""Read models in a database of a test's own."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from infra.dev.mongodb_server import MongoServer
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.settings import MongoDriver
from projections.projection import Projection
from projections.store import ReadStore
from projections.tables import CounterTable, Table


def fresh_address(server: MongoServer) -> str:
    """The address of a database that no other test uses."""
    return server.address(f"test-{uuid.uuid4().hex}")


@asynccontextmanager
async def open_store(
    address: str,
    tables: Sequence[Table[Any] | CounterTable[Any]],
    view: str = "things_1",
    driver: MongoDriver = "motor",
) -> AsyncIterator[MongoReadStore]:
    """A view over a connection of its own."""
    async with open_database(address, WRITE_SECONDS, driver) as database:
        yield await MongoReadStore.open(database, view, tables)


@asynccontextmanager
async def temporary_database(
    server: MongoServer, driver: MongoDriver = "motor"
) -> AsyncIterator[AsyncDatabase]:
    """A new database, dropped afterwards."""
    async with open_database(fresh_address(server), WRITE_SECONDS, driver) as opened:
        yield opened
        opened.blocking.client.drop_database(opened.name)


async def projection_rows(projection: Projection, store: ReadStore) -> Mapping[str, list[Any]]:
    """Every row of a projection; counts of nothing are left out."""
    return {
        table.name: [
            row
            for row in await store.scan(table)
            if isinstance(table, Table) or any(row[table.key_size :])
        ]
        for table in projection.tables
    }
