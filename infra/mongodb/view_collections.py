"""A view as a whole in MongoDB: its collections, and what the program must know of it.

What tables a view has stands in the collection `views`, one document for each view, so that a
program with other tables does not misread it.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import OperationFailure

from infra.mongodb.connection import Database
from infra.mongodb.table_documents import MongoTable
from projections.store import StoreError, StoreUnavailable
from projections.tables import CounterTable, Table

AnyTable = Table[Any] | CounterTable[Any]

_NAMESPACE_EXISTS: Final = 48


class ViewCollections:
    """The collections of one view. Methods raise `PyMongoError`."""

    def __init__(self, database: Database, name: str, tables: Sequence[AnyTable]) -> None:
        self.tables = {t: MongoTable(t, database[f"{name}.{t.name}"]) for t in tables}
        self.positions = database[f"{name}.position"]
        self.conflicts = database[f"{name}.meetings"]
        self._database = database
        self._name = name

    async def prepare(self, read_only: bool) -> None:
        """Make what isn't there. Raises as `MongoReadStore.open` does."""
        views = self._database["views"]
        mine = self._describe_tables()
        there = await views.find_one({"_id": self._name})
        if there is None:
            if read_only:
                raise StoreUnavailable(f"the view {self._name!r} is still being made")
            await self._create_collections()
            there = await views.find_one_and_update(
                {"_id": self._name},
                {"$setOnInsert": {"tables": mine}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        said = there["tables"]
        if said != mine:
            wrong = sorted(name for name in mine.keys() | said if mine.get(name) != said.get(name))
            raise StoreError(
                f"a view in MongoDB differs from the program in {', '.join(wrong)}: raise the "
                f"version of its projection, or drop the view {self._name} to have it made anew"
            )

    async def has_same_tables(self) -> bool:
        """Whether it is there and has the tables of the program."""
        there = await self._database["views"].find_one({"_id": self._name})
        return there is not None and there["tables"] == self._describe_tables()

    async def drop_view(self) -> None:
        """Remove the view, whatever tables it has: nothing of it is left."""
        await self._database["views"].delete_one({"_id": self._name})
        mine = {"name": {"$regex": f"^{re.escape(self._name)}\\."}}
        for name in await self._database.list_collection_names(filter=mine):
            await self._database.drop_collection(name)

    async def _create_collections(self) -> None:
        """Collections are made before transactions write them: making them would lock more."""
        for table in self.tables.values():
            for index in table.needed_indexes():
                await table.collection.create_index(index)
        there = {*await self._database.list_collection_names()}
        rows = [table.collection for table in self.tables.values()]
        for collection in (*rows, self.conflicts, self.positions):
            if collection.name not in there:
                try:
                    await self._database.create_collection(collection.name, check_exists=False)
                except OperationFailure as error:
                    if (
                        error.code != _NAMESPACE_EXISTS
                    ):  # by another process that opens the view now
                        raise

    def _describe_tables(self) -> dict[str, Any]:
        return {table.name: self.tables[table].describe_schema() for table in self.tables}
