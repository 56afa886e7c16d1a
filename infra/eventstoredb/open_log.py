"""Opening a log in EventStoreDB: only then is its package imported, if it is there.

It takes a third of a second to import, and asks for a Python below 3.13.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from events.log import EventLog, LogUnavailable
from infra.eventstoredb.address import parse_address


def open_event_store_log(address: str, index_file: Path, *, read_only: bool = False) -> EventLog:
    """The log at an address, begun where there is none; `index_file` is a disposable file for
    questions about ids, for this machine alone.

    Raises `BadAddress`; `LogUnavailable` where no node answers, or the package is missing, or
    `read_only` is asked for and no log is there.
    """
    parsed = parse_address(address)
    if find_spec("eventstoredb") is None:
        if sys.version_info >= (3, 13):
            raise LogUnavailable(
                "a log in EventStoreDB needs the package eventstoredb, which needs Python below "
                f"3.13; this is {sys.version_info.major}.{sys.version_info.minor}"
            )
        raise LogUnavailable(
            "a log in EventStoreDB needs the package eventstoredb: install starling-feed with the "
            "extra [eventstoredb]"
        )
    from infra.eventstoredb.event_log import EventStoreLog

    return EventStoreLog(parsed, index_file, read_only=read_only)
