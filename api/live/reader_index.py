"""Readers by what they want to hear, so that an event is compared with those alone whom it may
concern."""

from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import TypeVar

from api.live.live_reader import LiveReader, Subscription
from api.live.live_update import LiveUpdate, UpdateKind
from projections.home.viewer import ViewerContext
from projections.lists import ListContent

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class ReaderIndex:
    """Connected readers, and their subscriptions by account, handle and hashtag."""

    def __init__(self) -> None:
        self._readers: dict[int, set[LiveReader]] = {}
        self._by_author: dict[int, set[Subscription]] = {}
        """Those of home timelines and of lists."""
        self._notified: dict[int | str, set[Subscription]] = {}
        """Under the ids of users, and under their handles."""
        self._tags: dict[str, set[Subscription]] = {}
        self._public: set[Subscription] = set()
        self._trends: set[Subscription] = set()

    def __iter__(self) -> Iterator[LiveReader]:
        return (reader for readers in self._readers.values() for reader in readers)

    def __bool__(self) -> bool:
        return bool(self._readers)

    def add_reader(self, reader: LiveReader) -> None:
        """Take in a reader with its subscriptions."""
        _add(self._readers, (reader.user,), reader)
        for subscription in reader.subscriptions.values():
            self.add_subscription(subscription)

    def remove_reader(self, reader: LiveReader) -> None:
        """Forget a reader and its subscriptions."""
        _remove(self._readers, (reader.user,), reader)
        for subscription in reader.subscriptions.values():
            self.remove_subscription(subscription)

    def add_subscription(self, one: Subscription) -> None:
        """Take in a subscription of a reader who is here."""
        reader, topics = one.reader, one.topics
        _add(self._by_author, one.authors, one)
        if topics.notifications:
            _add(self._notified, (reader.user, reader.handle), one)
        if topics.tag is not None:
            _add(self._tags, (topics.tag,), one)
        if topics.public:
            self._public.add(one)
        if topics.trends:
            self._trends.add(one)

    def remove_subscription(self, one: Subscription) -> None:
        """Forget a subscription."""
        reader, topics = one.reader, one.topics
        _remove(self._by_author, one.authors, one)
        if topics.notifications:
            _remove(self._notified, (reader.user, reader.handle), one)
        if topics.tag is not None:
            _remove(self._tags, (topics.tag,), one)
        self._public.discard(one)
        self._trends.discard(one)

    def readers_of(self, user: int) -> Collection[LiveReader]:
        """The connected readers who are this user."""
        return tuple(self._readers.get(user, ()))

    def change_context(self, reader: LiveReader, context: ViewerContext) -> None:
        """A reader follows and hides others than before."""
        before = [(one, one.authors) for one in reader.subscriptions.values()]
        reader.context = context
        for one, authors in before:
            self._change_authors(one, authors)

    def change_content(self, one: Subscription, content: ListContent) -> None:
        """A list shows others than before."""
        authors = one.authors
        one.content = content
        self._change_authors(one, authors)

    def _change_authors(self, one: Subscription, before: frozenset[int]) -> None:
        after = one.authors
        _remove(self._by_author, before - after, one)
        _add(self._by_author, after - before, one)

    def hearing_trends(self) -> Collection[Subscription]:
        """Those that carry trends."""
        return tuple(self._trends)

    def has_tags(self) -> bool:
        """Whether any hashtag is listened to."""
        return bool(self._tags)

    def hearing_update(self, update: LiveUpdate) -> list[Subscription]:
        """Those that carry what happened to a post, without readers who hide its author."""
        found = [
            one
            for one in self._by_author.get(update.actor, ())
            # A timeline shows a post once; a retweet of what it shows already is no news.
            if update.kind != UpdateKind.RETWEET or update.author not in one.authors
        ]
        if not update.is_retweet:
            found += self._public
            for tag in update.tags:
                found += self._tags.get(tag, ())
        return [one for one in found if update.author not in one.reader.context.hidden]

    def hearing_notification(self, recipients: Iterable[int | str]) -> set[Subscription]:
        """Those that carry the notifications of any of these users (ids or handles)."""
        return {one for key in recipients for one in self._notified.get(key, ())}


def _add(table: dict[K, set[V]], keys: Iterable[K], value: V) -> None:
    for key in keys:
        table.setdefault(key, set()).add(value)


def _remove(table: dict[K, set[V]], keys: Iterable[K], value: V) -> None:
    for key in keys:
        if (values := table.get(key)) is not None:
            values.discard(value)
            if not values:
                del table[key]
