"""The EventStoreDB of the tests: the stand-in, or the node that STARLING_TEST_ESDB names.

Each folder has a namespace of its own there, so that one node serves all tests. Its address lies in
the folder, for other processes that open the same log.
"""

import atexit
import os
import secrets
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from events.log import EventLog
from infra.eventstoredb.open_log import open_event_store_log

ADDRESS_FILE = "eventstoredb.address"


def event_store_is_installed() -> bool:
    """Whether the client's package is there. It asks for a Python below 3.13."""
    return find_spec("eventstoredb") is not None


def open_event_store(folder: Path) -> EventLog:
    """The log of a folder."""
    return open_event_store_log(event_store_address(folder), folder / "log-ids.sqlite")


def event_store_address(folder: Path) -> str:
    """Of the log of a folder."""
    file = folder / ADDRESS_FILE
    if not file.exists():
        address, question, parameters = node_address().partition("?")
        file.write_text(f"{address.rstrip('/')}/t{secrets.token_hex(8)}{question}{parameters}")
    return file.read_text()


def node_address() -> str:
    """Of the node of all tests of this process."""
    return os.environ.get("STARLING_TEST_ESDB") or _stand_in_address()


@cache
def _stand_in_address() -> str:
    from tests.standins.event_store_node import EventStoreNode

    node = EventStoreNode()
    node.start()
    atexit.register(node.stop)
    return node.address
