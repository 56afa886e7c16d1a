"""What a list shows: what its members post and retweet, merged when it is read."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet

from projections.home.merge import merge_entries
from projections.home.viewer import ViewerContext
from projections.lists import ListContent
from projections.pages import EntryBounds, PageRequest
from projections.store import ReadStore
from projections.timeline import MAX_SCANNED_ROWS, EntryPage, SignedEntry, TimelineEntry
from projections.timeline_pages import read_authors

_ENTRIES_PER_LOAD = 64


def shown_members(content: ListContent, owner: ViewerContext) -> frozenset[int]:
    """The members who show: those whom the owner follows and doesn't hide, or the owner."""
    return content.members & owner.authors


def answered_accounts(content: ListContent, owner: ViewerContext) -> frozenset[int]:
    """The accounts to whom answers show."""
    match content.replies_policy:
        case "followed":
            return owner.self_and_followed
        case "list":
            return content.members & owner.self_and_followed
        case _:
            return frozenset()


async def read_list_timeline(
    store: ReadStore, members: Collection[int], request: PageRequest, hidden: AbstractSet[int]
) -> EntryPage:
    """A page of the posts and retweets of `members`, each post once and none by a hidden author.

    Cursors are ids of entries. Members who are hidden show nothing.
    """
    shown = sorted(set(members) - hidden)
    bounds = EntryBounds(request.lower_bound, request.max_id, request.counts_from_oldest)
    found: dict[int, TimelineEntry] = {}
    scanned, end = 0, None
    chunk: list[SignedEntry] = []
    async for entry in merge_entries(store, shown, shown, bounds):
        chunk.append(entry)
        scanned += 1
        if len(chunk) == _ENTRIES_PER_LOAD:
            await _add_visible(store, chunk, hidden, found)
            end = abs(entry.signed_id)
            if len(found) >= request.limit or scanned >= MAX_SCANNED_ROWS:
                break
            chunk.clear()
    else:
        end = None
        await _add_visible(store, chunk, hidden, found)
    page = EntryPage(list(found.values())[: request.limit])
    if len(found) < request.limit:
        page.scanned_to = end
    page.sort(key=lambda one: one.id, reverse=True)
    return page


async def _add_visible(
    store: ReadStore,
    chunk: Collection[SignedEntry],
    hidden: AbstractSet[int],
    found: dict[int, TimelineEntry],
) -> None:
    authors = await read_authors(store, [entry.post for entry in chunk])
    for signed_id, actor, post in chunk:
        if post in authors and authors[post] not in hidden:
            retweeter = actor if signed_id < 0 else None
            found.setdefault(post, TimelineEntry(abs(signed_id), post, retweeter))
