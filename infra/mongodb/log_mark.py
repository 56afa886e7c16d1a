"""What the views in MongoDB remember of the log that they were made from.

The registry holds the log's identity. The newest event that any view may show stands in the
collection `log_mark`, one document for each feed, `{_id: TOPIC, mark: {position, id}}`, and not
in the registry, which processes read again when it changes. Writers of views write it before they
apply a batch, so views never show an event behind it. A log that has another identity, or not that
event, is not the one that the views show: an older copy was put in its place, for example
(`docs/adr/0040`).
"""

from typing import Any, Final

from events.log import EventLog, EventMark, holds_event
from infra.mongodb.async_database import AsyncDatabase, BlockingDatabase
from infra.mongodb.connection import raising_unavailable

_COLLECTION: Final = "log_mark"
LOG_ITSELF: Final = ""
"""In the place of a topic, where the writer of the views reads the log."""


def note_newest(database: BlockingDatabase, topic: str, newest: EventMark) -> None:
    """Views are about to show the log up to this event. Blocks; raises `StoreUnavailable`."""
    with raising_unavailable():
        # Documents are compared field by field: the one of the greatest position stays.
        database[_COLLECTION].update_one(
            {"_id": topic}, {"$max": {"mark": newest._asdict()}}, upsert=True
        )


async def read_newest(database: AsyncDatabase, topic: str) -> EventMark:
    """What was noted last. Raises `StoreUnavailable`."""
    with raising_unavailable():
        found: Any = await database[_COLLECTION].find_one({"_id": topic})
    return EventMark(**found["mark"]) if found and "mark" in found else EventMark()


async def forget_newest(database: AsyncDatabase, topic: str) -> None:
    """No view shows those events any more. Raises `StoreUnavailable`."""
    with raising_unavailable():
        await database[_COLLECTION].delete_one({"_id": topic})


def difference_from_log(log: EventLog, identity: str, newest: EventMark) -> str | None:
    """Why a log can't be the one that views were made from; None if it can. `identity` is empty
    where it is unknown. Raises `LogUnavailable`."""
    if identity and log.identity != identity:
        return "the views in MongoDB were made from another log than the one that is there now"
    if not holds_event(log, newest):
        return (
            f"the views in MongoDB show event {newest.id}, which the log does not hold any more: "
            f"it ends at position {log.head()}"
        )
    return None
