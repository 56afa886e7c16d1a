"""Accounts by words, the one that is called by the query first."""

from collections.abc import Sequence
from typing import NamedTuple

from api.ports import Ports
from projections.pages import PageRequest
from projections.profiles import find_by_handle


class FoundAccounts(NamedTuple):
    """A page of accounts; `cursors` are those of the index, which leads on to the next page, and
    `called` is the account with the handle.
    """

    users: Sequence[int]
    cursors: Sequence[int]
    called: int | None = None


async def find_accounts(
    ports: Ports, handle: str, words: Sequence[str], request: PageRequest
) -> FoundAccounts:
    """Accounts whose handle or name has words that begin with each of `words`, the newest first.

    On the first page, the one with the handle (in any case, with or without its @) comes before.
    """
    cursors = await ports.search.index.find_users(words, request) if words else []
    called = handle.strip().removeprefix("@").lower()
    store = ports.views.current_store("profiles")
    best = await find_by_handle(store, called) if called else None
    if best is None:
        return FoundAccounts(cursors, cursors)
    users = [user for user in cursors if user != best.user]
    if request.max_id is None and request.lower_bound is None:
        users.insert(0, best.user)
    return FoundAccounts(users, cursors, best.user)
