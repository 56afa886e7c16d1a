"""Machine-id leases in MongoDB, for processes on several machines.

Documents of the collection `machine_leases`: the machine id is the `_id`, and the document `token`
counts the grants. Everybody who takes a lease writes that one, so two who take at the same time
meet there, and one of them tries again.
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

    A connection lasts for one call: calls are rare (one in ten seconds for each process), and
    nothing is left open over a fork or for another thread.
    """

    def __init__(self, address: str, patience_seconds: float = 5.0) -> None:
        """`patience_seconds` bounds each call."""
        self._address = address
        self._timeout_seconds = patience_seconds

    def grant_lease(self, block: range, owner: str, now_ms: int, until_ms: int) -> LeaseGrant:
        """See LeaseStore."""

        def grant_lowest(leases: Any, session: ClientSession) -> LeaseGrant:
            counted = leases.find_one_and_update(
                {"_id": _TOKEN}, {"$inc": {"grants": 1}}, upsert=True, session=session,
                return_document=ReturnDocument.AFTER,
            )  # fmt: skip
            wanted = {"_id": {"$gte": block.start, "$lt": block.stop}, "until_ms": {"$gt": now_ms}}
            held = {lease["_id"] for lease in leases.find(wanted, session=session)}
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
        """See LeaseStore."""
        if not self._update_if_newest(grant, {"$max": {"until_ms": until_ms}}):
            raise LeaseLost(
                f"machine id {grant.machine_id} was taken by another process after the lease with "
                f"token {grant.fencing_token} had expired: acquire a new one"
            )

    def end_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """See LeaseStore."""
        self._update_if_newest(grant, {"$min": {"until_ms": until_ms}})

    def _update_if_newest(self, grant: LeaseGrant, change: dict[str, Any]) -> bool:
        """Whether the grant is still the newest of its machine id."""
        mine = {"_id": grant.machine_id, "token": grant.fencing_token}
        with self._open_collection() as (_, leases):
            return bool(leases.update_one(mine, change).matched_count)

    @contextmanager
    def _open_collection(self) -> Iterator[tuple[MongoClient[dict[str, Any]], Any]]:
        try:
            with (
                pymongo.timeout(
                    self._timeout_seconds
                ),  # of the call, whatever is tried again in it
                MongoClient[dict[str, Any]](
                    self._address, appname="starling", connect=False, w="majority"
                ) as client,
            ):
                yield client, client.get_default_database(_DATABASE)["machine_leases"]
        except PyMongoError as error:
            raise LeaseStoreUnavailable(f"the leases in MongoDB: {error}") from error
