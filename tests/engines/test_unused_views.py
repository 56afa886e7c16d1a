"""Views in MongoDB that no program uses any more are dropped, and those that one uses never."""

from typing import Any, NamedTuple

import pytest

from infra.dev.mongodb_server import MongoServer
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.rebuild_records import MongoRebuildRecords
from infra.mongodb.view_registry import ViewRegistry
from infra.streaming.unused_views import sweep_views
from infra.streaming.worker_views import open_stores
from projections.projection import Projection
from projections.registry import projection_named
from projections.tables import Table
from tests.support.engines.mongodb_views import temporary_database

pytestmark = pytest.mark.engines

OURS = (projection_named("posts"), projection_named("filters"))


class Left(NamedTuple):
    user: int


class Gone:
    """A projection that this version of the program doesn't have any more."""

    name = "personal_lists"
    version = 1
    event_types = ()
    tables = (Table("lists", Left, key_size=1),)

    def rows_to_read(self, recorded: Any) -> Any:
        raise AssertionError

    def project(self, recorded: Any, view: Any) -> None:
        raise AssertionError


GONE: Projection = Gone()


async def views_there(database: AsyncDatabase) -> set[str]:
    names = await database.list_collection_names({"name": {"$regex": r"\.position$"}})
    return {name.removesuffix(".position") for name in names}


async def test_a_view_of_a_projection_that_is_gone_is_dropped(mongodb: MongoServer) -> None:
    async with temporary_database(mongodb) as database:
        await open_stores(database, 1, (*OURS, GONE))
        await MongoReadStore.open(database, "posts_0", GONE.tables)
        records = MongoRebuildRecords(database)
        async with records.lock_rebuild("posts"):
            building = (await records.begin_or_resume(OURS[0], verify=False)).store
        await MongoReadStore.open(database, building, GONE.tables)
        kept = {*(await ViewRegistry(database).read()).views.values(), building}
        kept.remove("personal_lists_1")
        left = {"personal_lists_1", "posts_0"}
        for _ in range(2):
            await sweep_views(database, OURS)
            registered = await ViewRegistry(database).read()
            assert registered.unused.keys() == left
            assert "personal_lists" in registered.views
        await sweep_views(database, OURS, 0)
        registered = await ViewRegistry(database).read()
        assert registered.retired.keys() == left
        assert registered.unused == {}
        assert "personal_lists" not in registered.views
        assert await views_there(database) == kept | left
        await sweep_views(database, OURS, 0, 0)
        assert await views_there(database) == kept
        assert (await ViewRegistry(database).read()).retired == {}


async def test_a_view_that_another_version_still_uses_stays(mongodb: MongoServer) -> None:
    async with temporary_database(mongodb) as database:
        await open_stores(database, 1, (*OURS, GONE))
        await sweep_views(database, OURS)
        await sweep_views(database, (*OURS, GONE))
        assert (await ViewRegistry(database).read()).unused == {}
        await sweep_views(database, OURS, 0, 0)
        registered = await ViewRegistry(database).read()
        assert registered.unused.keys() == {"personal_lists_1"}
        assert (registered.views["personal_lists"], registered.retired) == ("personal_lists_1", {})
