"""The index of words in MongoDB, for API processes on several machines.

Collections `search_posts`, `search_users` and `search_tags`, and one document of `search_followed`.
Words are arrays under an ordinary index, not a text index: that one would split, stem and fold by
rules of its own, and the answers would not be those of SQLite.
"""

import re
from collections import Counter
from collections.abc import Sequence
from secrets import token_hex
from typing import Any, Final

from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession

from api.search.search_index import (
    FollowedLog,
    FoundPost,
    PostFindable,
    PostGone,
    PostReworded,
    SearchChange,
    SearchUnavailable,
    TagUses,
    UserFindable,
    UserGone,
    UserRenamed,
)
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.connection import WRITE_SECONDS
from infra.mongodb.database_threads import DatabaseThreads
from projections.pages import PageRequest

_THREADS: Final = 4
_LAST_CHARACTER: Final = "\U0010ffff"
_INDEXES: Final = (
    ("search_posts", [("words", 1), ("_id", -1)]),
    ("search_posts", [("author", 1)]),
    ("search_users", [("words", 1), ("_id", -1)]),
    ("search_users", [("handle", 1)]),
    ("search_tags", [("posts", 1)]),
    ("search_followed", [("position", 1)]),
)


class MongoSearchIndex:
    """The `SearchIndex` of one database; any number of processes may open it. `close` it."""

    def __init__(self, database: BlockingDatabase) -> None:
        self._database = database
        self._posts = database.get_collection("search_posts")
        self._users = database.get_collection("search_users")
        self._tags = database.get_collection("search_tags")
        self._state = database.get_collection("search_followed")
        self._threads = DatabaseThreads(
            database, "the index of words",
            threads=_THREADS, seconds=WRITE_SECONDS, unavailable=SearchUnavailable,
            prepare=self._make_indexes,
        )  # fmt: skip

    async def read_followed(self) -> FollowedLog:
        return await self._threads.run(lambda: self._followed(None))

    async def restart(self, log: str, tokenizer: int) -> None:
        begun, emptying = FollowedLog(log, tokenizer, 0), FollowedLog(token_hex(16), 0, 0)

        def stop(session: ClientSession) -> bool:
            """Have no other process add to what is being emptied."""
            if self._followed(session) == begun:
                return False
            self._set_followed(emptying, session)
            return True

        def begin(session: ClientSession) -> None:
            """Unless another process empties it by now, which will begin it then."""
            if self._followed(session) == emptying:
                self._set_followed(begun, session)

        def empty_all() -> None:
            for collection in (self._posts, self._users, self._tags):
                collection.delete_many({})

        if await self._threads.transact(stop):
            await self._threads.run(empty_all)
            await self._threads.transact(begin)

    async def follow(self, changes: Sequence[SearchChange], after: int, through: int) -> bool:
        def apply_all(session: ClientSession) -> bool:
            followed = self._followed(session)
            if followed.position != after or not followed.tokenizer:
                return False
            self._set_followed(followed._replace(position=through), session)
            _Batch(self._posts, self._users, self._tags, session).apply(changes)
            return True

        return await self._threads.transact(apply_all)

    async def find_posts(self, words: Sequence[str], request: PageRequest) -> Sequence[FoundPost]:
        query = {"words": {"$all": list(words)}}
        found = await self._find_page(self._posts, query, request, ("author",))
        return [FoundPost(one["_id"], one["author"]) for one in found]

    async def find_users(self, words: Sequence[str], request: PageRequest) -> Sequence[int]:
        each = [
            {"words": {"$regex": f"^{re.escape(word)}"} if len(word) > 1 else word}
            for word in words
        ]
        found = await self._find_page(self._users, {"$and": each}, request, ("_id",))
        return [one["_id"] for one in found]

    async def complete_handle(self, prefix: str, limit: int) -> Sequence[int]:
        def find() -> list[int]:
            found = self._users.find(_beginning("handle", prefix), {"_id": 1})
            return [one["_id"] for one in found.sort("handle", 1).limit(limit)]

        return await self._threads.run(find)

    async def find_hashtags(self, prefix: str, limit: int) -> Sequence[TagUses]:
        def find() -> list[TagUses]:
            query = _beginning("_id", prefix) | {"posts": {"$gt": 0}}
            found = self._tags.find(query).sort([("posts", -1), ("_id", 1)]).limit(limit)
            return [TagUses(one["_id"], one["posts"]) for one in found]

        return await self._threads.run(find)

    async def scrub(self) -> None:
        """MongoDB overwrites what was deleted in its own time."""

    def close(self) -> None:
        """Refuse further calls. The connection stays open: its opener closes it."""
        self._threads.close()

    async def _find_page(
        self,
        collection: Any,
        query: dict[str, Any],
        request: PageRequest,
        fields: Sequence[str],
    ) -> list[dict[str, Any]]:
        bounds: dict[str, int] = {}
        if request.lower_bound is not None:
            bounds["$gt"] = request.lower_bound
        if request.max_id is not None:
            bounds["$lt"] = request.max_id
        wanted = query | ({"_id": bounds} if bounds else {})
        order = 1 if request.counts_from_oldest else -1

        def find() -> list[dict[str, Any]]:
            found = collection.find(wanted, dict.fromkeys(fields, 1))
            return list(found.sort("_id", order).limit(request.limit))

        rows = await self._threads.run(find)
        return rows[:: order * -1]

    def _followed(self, session: ClientSession | None) -> FollowedLog:
        found = self._state.find_one({"_id": "log"}, session=session)
        if found is None:
            return FollowedLog("", 0, 0)
        return FollowedLog(found["log"], found["tokenizer"], found["position"])

    def _set_followed(self, followed: FollowedLog, session: ClientSession) -> None:
        self._state.replace_one(
            {"_id": "log"}, {"_id": "log", **followed._asdict()}, upsert=True, session=session
        )

    def _make_indexes(self) -> None:
        for name, keys in _INDEXES:
            self._database.get_collection(name).create_index(keys)


class _Batch:
    """The changes of one transaction; posts and accounts that are new are inserted together."""

    def __init__(self, posts: Any, users: Any, tags: Any, session: ClientSession) -> None:
        self._posts, self._users, self._tags = posts, users, tags
        self._session = session
        self._new_posts: list[PostFindable] = []
        self._new_users: list[UserFindable] = []
        self._tag_counts = Counter[str]()

    def apply(self, changes: Sequence[SearchChange]) -> None:
        """All changes, in order."""
        for change in changes:
            match change:
                case PostFindable():
                    self._new_posts.append(change)
                case UserFindable():
                    self._new_users.append(change)
                case _:
                    self._insert_new()
                    self._apply_rare(change)
        self._insert_new()
        counts = [
            UpdateOne({"_id": tag}, {"$inc": {"posts": change}}, upsert=True)
            for tag, change in self._tag_counts.items()
            if change
        ]
        if counts:
            self._tags.bulk_write(counts, session=self._session)
            self._tags.delete_many({"posts": {"$lte": 0}}, session=self._session)

    def _apply_rare(self, change: PostReworded | PostGone | UserRenamed | UserGone) -> None:
        session = self._session
        match change:
            case PostReworded(post, words, tags):
                new = {"words": sorted(words), "tags": sorted(tags)}
                old = self._posts.find_one_and_update({"_id": post}, {"$set": new}, session=session)
                if old is not None:
                    self._tag_counts.subtract(old["tags"])
                    self._tag_counts.update(tags)
            case PostGone(post):
                old = self._posts.find_one_and_delete({"_id": post}, session=session)
                if old is not None:
                    self._tag_counts.subtract(old["tags"])
            case UserRenamed(user, words):
                found = self._users.find_one({"_id": user}, session=session)
                if found is not None:
                    document = _user_document(UserFindable(user, found["handle"], words))
                    self._users.replace_one({"_id": user}, document, session=session)
            case UserGone(user):
                self._users.delete_one({"_id": user}, session=session)
                for old in self._posts.find({"author": user}, {"tags": 1}, session=session):
                    self._tag_counts.subtract(old["tags"])
                self._posts.delete_many({"author": user}, session=session)

    def _insert_new(self) -> None:
        if self._new_users:
            inserts = [InsertOne(_user_document(user)) for user in self._new_users]
            self._users.bulk_write(inserts, session=self._session)
            self._new_users = []
        if self._new_posts:
            authors = {"_id": {"$in": list({post.author for post in self._new_posts})}}
            known = set(self._users.distinct("_id", authors, session=self._session))
            posts = [post for post in self._new_posts if post.author in known]
            for post in posts:
                self._tag_counts.update(post.tags)
            if posts:
                inserts = [InsertOne(_post_document(post)) for post in posts]
                self._posts.bulk_write(inserts, session=self._session)
            self._new_posts = []


def _post_document(post: PostFindable) -> dict[str, Any]:
    return {
        "_id": post.post, "author": post.author, "words": sorted(post.words),
        "tags": sorted(post.tags),
    }  # fmt: skip


def _user_document(user: UserFindable) -> dict[str, Any]:
    return {"_id": user.user, "handle": user.handle, "words": sorted(user.words | {user.handle})}


def _beginning(field: str, prefix: str) -> dict[str, Any]:
    return {field: {"$gte": prefix, "$lt": prefix + _LAST_CHARACTER}}
