"""The collections of a view in MongoDB, and the document that describes its tables.

The collection `views` has one document for each view, which says what tables it has, so that a
program with other tables does not misread it.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import OperationFailure

from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import raising_unavailable
from infra.mongodb.table_documents import MongoTable
from projections.store import StoreError, ViewAbsent
from projections.tables import CounterTable, Table

AnyTable = Table[Any] | CounterTable[Any]

_NAMESPACE_EXISTS: Final = 48


class ViewCollections:
    """The collections of one view, whether they exist or not."""

    def __init__(self, database: AsyncDatabase, name: str, tables: Sequence[AnyTable]) -> None:
        blocking = database.blocking
        self.tables = {
            t: MongoTable(t, database[f"{name}.{t.name}"], blocking[f"{name}.{t.name}"])
            for t in tables
        }
        self.positions = database[f"{name}.position"]
        self.conflicts = database[f"{name}.meetings"]
        self.blocking_positions = blocking[self.positions.name]
        self.blocking_conflicts = blocking[self.conflicts.name]
        self._database = database
        self._name = name

    async def prepare(self, read_only: bool) -> None:
        """Create what does not exist. Raises `PyMongoError`, and as `MongoReadStore.open` does."""
        views = self._database["views"]
        described = self._describe_tables()
        found = await views.find_one({"_id": self._name})
        if found is None:
            if read_only:
                raise ViewAbsent(f"the view {self._name!r} is still being created")
            await self._create_collections()
            found = await views.find_one_and_update(
                {"_id": self._name},
                {"$setOnInsert": {"tables": described}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        stored = found["tables"]
        if stored != described:
            names = described.keys() | stored
            wrong = sorted(name for name in names if described.get(name) != stored.get(name))
            raise StoreError(
                f"a view in MongoDB differs from the program in {', '.join(wrong)}: raise the "
                f"version of its projection, or drop the view {self._name} to have it rebuilt"
            )

    async def has_same_tables(self) -> bool:
        """Whether the view exists and has the program's tables. Raises `StoreUnavailable`."""
        with raising_unavailable():
            found = await self._database["views"].find_one({"_id": self._name})
        return found is not None and found["tables"] == self._describe_tables()

    async def drop_view(self) -> None:
        """Remove the whole view, whatever tables it has. Raises `StoreUnavailable`."""
        named = {"name": {"$regex": f"^{re.escape(self._name)}\\."}}
        with raising_unavailable():
            await self._database["views"].delete_one({"_id": self._name})
            for name in await self._database.list_collection_names(named):
                await self._database.drop_collection(name)

    async def _create_collections(self) -> None:
        """Collections are created before transactions write them, which would lock more."""
        for table in self.tables.values():
            for index in table.needed_indexes():
                await table.collection.create_index(index)
        existing = {*await self._database.list_collection_names()}
        rows = [table.collection for table in self.tables.values()]
        for collection in (*rows, self.conflicts, self.positions):
            if collection.name not in existing:
                try:
                    await self._database.create_collection(collection.name)
                except OperationFailure as error:
                    # It exists by now where another process opens the view, too.
                    if error.code != _NAMESPACE_EXISTS:
                        raise

    def _describe_tables(self) -> dict[str, Any]:
        return {table.name: self.tables[table].describe_schema() for table in self.tables}
