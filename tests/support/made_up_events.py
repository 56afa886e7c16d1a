"""Logs to publish: people who post, like and follow, and who never rest."""

import asyncio
from collections.abc import Sequence

from events import streams
from events.envelope import RecordedEvent
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from events.schema import Event, PostCreated, PostLiked, UserFollowed

USERS = 40
FIRST_ID = first_id_at(1_700_000_000_000)


def made_up_append(number: int) -> AppendRequest:
    """Event number `number` of a made-up history: who did it, and what."""
    id = FIRST_ID + (number << 20)
    actor = FIRST_ID - 1 - (number * 7919 + number // 11) % USERS
    other = FIRST_ID - 1 - (number * 31 + 5) % USERS
    event: Event
    if number % 5 == 0:
        text = f'post {number} of {actor}: snow ☃, "quotes" and \\ #tag{number % 9}\n'
        stream, event = (
            streams.post_stream(id),
            PostCreated(id, actor, text, hashtags=(f"tag{number}",)),
        )
    elif number % 5 == 1 and other != actor:
        # Who follows twice does so in a stream of its own here; no decider looks at this log.
        stream = f"{streams.follow_stream(other, actor)}-{number}"
        event = UserFollowed(other, actor)
    else:
        post = FIRST_ID + (number // 5 * 5 << 20)
        stream, event = (
            f"{streams.like_stream(post, actor)}-{number}",
            PostLiked(post, actor, other),
        )
    return AppendRequest((StreamAppend(stream, 0, (NewEvent(id, event),)),), actor, id, id)


async def append_made_up(log: EventLog, first: int, last: int) -> None:
    """Append the happenings from `first` up to, not including, `last`."""
    for start in range(first, last, 1000):
        numbers = range(start, min(last, start + 1000))
        await asyncio.gather(*(log.append(made_up_append(number)) for number in numbers))


async def append_recorded(log: EventLog, history: Sequence[RecordedEvent]) -> None:
    """Append events that stand nowhere yet but in a test's memory."""
    appends = (
        AppendRequest(
            (StreamAppend(r.stream, r.version - 1, (NewEvent(r.id, r.event),)),),
            r.actor,
            r.id,
            r.id,
        )
        for r in history
    )
    await asyncio.gather(*map(log.append, appends))


def partition_of(owner: int, partitions: int) -> int:
    """The partition of one owner, by the formula and without numpy."""
    return ((owner * 0x9E3779B97F4A7C15 % (1 << 64)) >> 32) % partitions
