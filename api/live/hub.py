"""What happens, told to the readers who are connected to this process.

One task follows the log up to where the views are, so a reader never hears of what a query would
not show yet. An event is looked at once, whatever the number of readers, and rendered only if it
concerns one. Positions of the log are the ids, so a reader that comes back names the last one, and
gets what it missed out of the log. Views play no part in what is told: a rebuild tells nothing.
"""

import asyncio
import logging
from asyncio import Task
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from api.http.errors import EXPECTED_ERRORS, RequestRefused, unauthorized
from api.live.live_messages import LiveMessages
from api.live.live_reader import (
    LAST_ORDINAL,
    NO_CONTENT,
    LiveFormat,
    LiveMessage,
    LiveReader,
    MessageId,
    Subscription,
    Topics,
)
from api.live.live_update import LIST_EVENTS, LIVE_TYPES, related_users
from api.live.reader_index import ReaderIndex
from api.ports import Ports
from api.schemas import encode_json
from api.views.posts import PostViews
from api.views.trends import current_trends
from commands.lists import no_such_list
from commands.rules import account_suspended
from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent
from events.log import run_read
from events.schema import AccountSuspended, UserDeleted
from projections.lists import ListContent, read_content
from projections.profiles import read_profiles

LIVE_VIEWS: Final = ("filters", "lists", "notifications", "posts", "profiles", "timeline")
"""What must show an event before readers hear of it."""

HEARTBEAT: Final = 15.0
"""Seconds after which a quiet stream sends a sign of life."""

CHECK_SECONDS: Final = 1.0
"""How often tokens are checked again."""

TREND_SECONDS: Final = 30.0
"""How often it is looked whether trends have changed."""

TRENDS: Final = 10

_BATCH: Final = 500
_READERS_A_TURN: Final = 20
_WAIT_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.05

_FAILED: Final = RequestRefused(
    503, "stream-failed", "the stream broke on our side: resume behind the last message"
)
_ACCOUNT_GONE: Final = unauthorized(
    "account-gone", "the account was deleted: its tokens are worthless"
)

_logger = logging.getLogger(__name__)


class LiveHub:
    """The connected readers of a process, and the tasks that tell them; these run while there are
    any. A failure ends all streams with an error, and the next reader starts the tasks again.
    """

    def __init__(self, ports: Ports, post_views: PostViews) -> None:
        self._ports = ports
        self._post_views = post_views
        self._messages = LiveMessages(ports)
        self._readers = set[LiveReader]()
        """All that are told, also what they missed."""
        self._index = ReaderIndex()
        """Those of them that hear what happens."""
        self._position = 0
        """Everything up to here was told to the readers of the index."""
        self._between_events = asyncio.Lock()
        self._tasks: list[Task[None]] = []
        self._trends: LiveMessage | None = None
        self._without_trends = set[Subscription]()
        """Those that carry trends and not these ones yet."""
        self._trending_tags: list[str] = []

    async def connect(
        self,
        user: int,
        live_format: LiveFormat,
        token: bytes,
        after: MessageId | None = None,
    ) -> LiveReader:
        """A new reader, who has been told everything up to `after`, or up to now. `tell` it; it is
        ended when its token holds no more.

        Raises `RequestRefused` (401) where there is no such account (any more), `StoreError`.
        """
        self._post_views.apply_invalidations()
        store = self._ports.views.current_store("profiles")
        profile = (await read_profiles(store, (user,))).get(user)
        if profile is None:
            raise _ACCOUNT_GONE
        context = await self._ports.home.viewer_context(user)
        if after is None:
            after = MessageId(self._visible_position(), LAST_ORDINAL)
        return LiveReader(user, profile.handle, context, live_format, after, token)

    async def tell(self, reader: LiveReader) -> AsyncGenerator[list[bytes], None]:
        """What a reader is told, in frames: first what it missed, then what happens, until it is
        ended."""
        self._readers.add(reader)
        try:
            async for frame in self._catch_up(reader):
                yield [frame]
            while frames := await reader.take():
                yield frames
        except EXPECTED_ERRORS as error:
            _logger.warning("a live stream could not be resumed: %s", error)
            reader.end(_FAILED)
        finally:
            self._index.remove_reader(reader)
            self._readers.discard(reader)
            reader.end()
            if not self._readers:
                self._stop()

    async def subscribe(self, reader: LiveReader, label: tuple[str, ...], topics: Topics) -> None:
        """Tell a reader one stream more. Raises `NotFound` where the reader has no such list,
        `StoreError`.
        """
        async with self._between_events:
            content = NO_CONTENT
            if topics.list is not None:
                found = await self._read_content(reader.user, topics.list)
                if found is None:
                    raise no_such_list(topics.list)
                content = found
            self.unsubscribe(reader, label)
            one = reader.subscriptions[label] = Subscription(reader, label, topics, content)
            if reader in self._index.readers_of(reader.user):
                self._index.add_subscription(one)

    async def _read_content(self, user: int, id: int) -> ListContent | None:
        return await read_content(self._ports.views.current_store("lists"), user, id)

    def unsubscribe(self, reader: LiveReader, label: tuple[str, ...]) -> None:
        """Tell a reader one stream less."""
        if (one := reader.subscriptions.pop(label, None)) is not None:
            self._index.remove_subscription(one)

    async def _catch_up(self, reader: LiveReader) -> AsyncGenerator[bytes, None]:
        """What a reader missed; then it is among the readers of the index.

        Messages of now don't wait for it meanwhile, however long it takes.
        """
        alone = ReaderIndex()
        alone.add_reader(reader)
        while True:
            async with self._between_events:
                self._start()
                until = self._position
                if reader.after >= (until, LAST_ORDINAL):
                    self._post_views.apply_invalidations()
                    reader.context = await self._ports.home.viewer_context(reader.user)
                    for one in reader.subscriptions.values():
                        if (id := one.topics.list) is not None:
                            one.content = await self._read_content(reader.user, id) or NO_CONTENT
                    if not await self._post_views.is_active(reader.user):
                        reader.end(_FAILED)  # where it comes back, it is told why
                    self._index.add_reader(reader)
                    break
            async for frame in self._replay(reader, until, alone):
                yield frame
            if reader.ended:
                return
            reader.after = MessageId(until, LAST_ORDINAL)
        self._put_heartbeat(reader)
        if self._trends is not None:
            for one in reader.subscriptions.values():
                if one.topics.trends:
                    self._put(reader, reader.live_format.frame(self._trends, one.label, None))

    async def _replay(
        self, reader: LiveReader, until: int, alone: ReaderIndex
    ) -> AsyncGenerator[bytes, None]:
        log, after = self._ports.log, reader.after
        batch: list[RecordedEvent] = []
        if after.ordinal < LAST_ORDINAL:
            stored = await run_read(log, log.event_at, after.position)
            batch = [EVENT_CODEC.decode_stored(stored)] if stored is not None else []
        position, more = after.position, True
        while True:
            for recorded in batch:
                if reader.ended:
                    return
                for delivery in await self._messages.find(recorded, alone, missed=True):
                    id = MessageId(recorded.position, delivery.ordinal)
                    if id > after:
                        for one in delivery.subscriptions:
                            yield reader.live_format.frame(delivery.message, one.label, id)
            if not more or position >= until:
                return
            batch = await self._read_batch(position, until)
            more = len(batch) == _BATCH
            position = batch[-1].position if batch else until

    def _start(self) -> None:
        if not self._tasks:
            self._position = self._visible_position()
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._run(one)) for one in (self._follow, self._attend)]

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._trends = None
        self._without_trends.clear()

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what goes on for ever; its failure is that of every stream."""
        try:
            await work()
        except Exception:
            _logger.exception("live streams failed; their readers come back")
            for reader in list(self._index):
                self._index.remove_reader(reader)
                reader.end(_FAILED)
            self._stop()

    def _visible_position(self) -> int:
        return min(map(self._ports.views.known_position, LIVE_VIEWS))

    async def _follow(self) -> None:
        while True:
            until = self._visible_position()
            if until > self._position:
                await self._tell_batch(until)
                continue
            # Any number behind the position will do: positions have holes.
            await self._ports.wait_for(LIVE_VIEWS, self._position + 1, _WAIT_SECONDS)
            if self._visible_position() <= self._position:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _tell_batch(self, until: int) -> None:
        batch = await self._read_batch(self._position, until)
        for recorded in batch:
            async with self._between_events:
                self._post_views.apply_invalidations()
                await self._tell_event(recorded)
                self._position = recorded.position
        if len(batch) < _BATCH:
            self._position = until

    async def _tell_event(self, recorded: RecordedEvent) -> None:
        match recorded.event:
            case UserDeleted(user=user):
                self._end_readers_of(user, _ACCOUNT_GONE)
            case AccountSuspended(user=user, reason=reason):
                self._end_readers_of(user, account_suspended(reason))
        for user in related_users(recorded):
            for reader in self._index.readers_of(user):
                context = await self._ports.home.viewer_context(user)
                self._index.change_context(reader, context)
        if isinstance(recorded.event, LIST_EVENTS):
            await self._change_list(recorded.event.user, recorded.event.list)
        for delivery in await self._messages.find(recorded, self._index):
            id = MessageId(recorded.position, delivery.ordinal)
            frames: dict[tuple[str, ...], bytes] = {}
            for one in delivery.subscriptions:
                if id > one.reader.after:
                    frame = frames.get(one.label)
                    if frame is None:
                        frame = one.reader.live_format.frame(delivery.message, one.label, id)
                        frames[one.label] = frame
                    self._put(one.reader, frame)

    async def _change_list(self, user: int, id: int) -> None:
        """Tell of a list what it shows now."""
        for reader in self._index.readers_of(user):
            for one in list(reader.subscriptions.values()):
                if one.topics.list == id:
                    content = await self._read_content(user, id) or NO_CONTENT
                    self._index.change_content(one, content)

    def _end_readers_of(self, user: int, problem: Exception) -> None:
        for reader in self._readers:
            if reader.user == user:
                reader.end(problem)

    async def _read_batch(self, after: int, until: int) -> list[RecordedEvent]:
        log = self._ports.log
        stored = await run_read(
            log, log.read_all, after, types=LIVE_TYPES, limit=_BATCH, until=until
        )
        return [EVENT_CODEC.decode_stored(one) for one in stored]

    def _put(self, reader: LiveReader, frame: bytes) -> None:
        reader.last_put = asyncio.get_running_loop().time()
        reader.put(frame)

    def _put_heartbeat(self, reader: LiveReader) -> None:
        through = max(reader.after, MessageId(self._position, LAST_ORDINAL))
        self._put(reader, reader.live_format.heartbeat(through))

    async def _attend(self) -> None:
        """Check tokens, send signs of life, and look at the trends."""
        time = asyncio.get_running_loop().time
        look_at = 0.0
        while True:
            if self._index.hearing_trends() and time() >= look_at:
                await self._look_at_trends()
                look_at = time() + TREND_SECONDS
            await self._end_revoked()
            readers = list(self._index)
            # A few at a time: messages would wait for a look at thousands.
            turns = max(1, -(-len(readers) // _READERS_A_TURN))
            for turn in range(turns):
                await asyncio.sleep(CHECK_SECONDS / turns)
                for reader in readers[turn::turns]:
                    if reader.context.is_over(self._ports.clock_ms()):
                        await self._renew_context(reader)
                    self._tell_trends(reader)
                    if not reader.has_unsent and time() - reader.last_put >= HEARTBEAT:
                        self._put_heartbeat(reader)

    async def _renew_context(self, reader: LiveReader) -> None:
        """A mute has ended, which no event tells."""
        async with self._between_events:
            context = await self._ports.home.viewer_context(reader.user)
            if not reader.ended:
                self._index.change_context(reader, context)

    async def _end_revoked(self) -> None:
        """End the readers whose tokens hold no more, or can't be checked."""
        checked = list(self._readers)
        failures = await self._ports.tokens.failures_of({reader.token for reader in checked})
        for reader in checked:
            if (why := failures.get(reader.token)) is not None:
                reader.end(why)

    async def _look_at_trends(self) -> None:
        found = await current_trends(self._ports, TRENDS)
        tags = [one.tag for one in found]
        if self._trends is not None and tags == self._trending_tags:
            return
        data = encode_json([one.model_dump(exclude_none=True) for one in found])
        self._trends, self._trending_tags = LiveMessage("trends", data), tags
        self._without_trends = set(self._index.hearing_trends())

    def _tell_trends(self, reader: LiveReader) -> None:
        """Tell a reader the trends where they have changed."""
        if self._trends is None or not self._without_trends:
            return
        for one in self._without_trends.intersection(reader.subscriptions.values()):
            self._without_trends.discard(one)
            self._put(reader, reader.live_format.frame(self._trends, one.label, None))
