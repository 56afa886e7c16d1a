"""Machine-id leases in MongoDB, for processes on several machines.

Documents of the collection `machine_leases`: the machine id is the `_id`, and the document `token`
counts the grants. Each grant writes that one, so two at the same time conflict there, and one of
them is tried again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from pymongo import MongoClient, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from infra.ids.machine_lease import LeaseGrant, LeaseLost, LeaseStoreUnavailable, NoFreeMachine

_DATABASE: Final = "starling"
_TOKEN: Final = "token"


class MongoLeases:
    """A LeaseStore in the database that an address names.

    A connection lasts for one call: calls are rare (one in ten seconds for each process), and no
    connection stays open over a fork or for another thread.
    """

    def __init__(self, address: str, timeout_seconds: float = 5.0) -> None:
        """`timeout_seconds` bounds each call, with all its retries."""
        self._address = address
        self._timeout_seconds = timeout_seconds

    def grant_lease(self, block: range, owner: str, now_ms: int, until_ms: int) -> LeaseGrant:
        """Grant the lowest free machine id of the block. Raises `NoFreeMachine`."""

        def grant_lowest(leases: Any, session: ClientSession) -> LeaseGrant:
            counted = leases.find_one_and_update(
                {"_id": _TOKEN}, {"$inc": {"grants": 1}}, upsert=True, session=session,
                return_document=ReturnDocument.AFTER,
            )  # fmt: skip
            live = {"_id": {"$gte": block.start, "$lt": block.stop}, "until_ms": {"$gt": now_ms}}
            held = {lease["_id"] for lease in leases.find(live, session=session)}
            machine = next((number for number in block if number not in held), None)
            if machine is None:
                raise NoFreeMachine(
                    f"machine ids {block.start}-{block.stop - 1} are all held, see the collection "
                    "machine_leases: stop a process that makes ids, or wait until the lease of a "
                    "dead one expires"
                )
            granted = {"owner": owner, "token": counted["grants"], "until_ms": until_ms}
            leases.replace_one({"_id": machine}, granted, upsert=True, session=session)
            return LeaseGrant(machine, counted["grants"])

        with self._open_collection() as (client, leases), client.start_session() as session:
            return session.with_transaction(lambda session: grant_lowest(leases, session))

    def extend_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """Extend a lease. Raises `LeaseLost` if it had expired and was granted again."""
        if not self._update_if_newest(grant, {"$max": {"until_ms": until_ms}}):
            raise LeaseLost(
                f"machine id {grant.machine_id} was taken by another process after the lease with "
                f"token {grant.fencing_token} had expired: acquire a new one"
            )

    def end_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """End a lease at that time; no error if it was lost."""
        self._update_if_newest(grant, {"$min": {"until_ms": until_ms}})

    def _update_if_newest(self, grant: LeaseGrant, change: dict[str, Any]) -> bool:
        """Whether the grant is still the newest of its machine id."""
        newest = {"_id": grant.machine_id, "token": grant.fencing_token}
        with self._open_collection() as (_, leases):
            return bool(leases.update_one(newest, change).matched_count)

    @contextmanager
    def _open_collection(self) -> Iterator[tuple[MongoClient[dict[str, Any]], Any]]:
        try:
            with (
                pymongo.timeout(self._timeout_seconds),
                MongoClient[dict[str, Any]](
                    self._address, appname="starling", connect=False, w="majority"
                ) as client,
            ):
                yield client, client.get_default_database(_DATABASE)["machine_leases"]
        except PyMongoError as error:
            raise LeaseStoreUnavailable(f"the leases in MongoDB: {error}") from error
