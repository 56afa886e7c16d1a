"""Logs to publish: people who post, like and follow, and who never rest."""

import asyncio
from collections.abc import Sequence

from events import streams
from events.log import Append, EventLog, NewEvent, Write
from events.recorded import Recorded
from events.schema import Event, PostCreated, PostLiked, UserFollowed
from events.snowflake import first_id_at

USERS = 40
FIRST = first_id_at(1_700_000_000_000)


def happening(number: int) -> Append:
    """Event number `number` of a made-up history: who did it, and what."""
    id = FIRST + (number << 20)
    actor = FIRST - 1 - (number * 7919 + number // 11) % USERS
    other = FIRST - 1 - (number * 31 + 5) % USERS
    event: Event
    if number % 5 == 0:
        text = f'post {number} of {actor}: snow ☃, "quotes" and \\ #tag{number % 9}\n'
        stream, event = streams.post(id), PostCreated(id, actor, text, hashtags=(f"tag{number}",))
    elif number % 5 == 1 and other != actor:
        # Who follows twice does so in a stream of its own here; no decider looks at this log.
        stream = f"{streams.follow(other, actor)}-{number}"
        event = UserFollowed(other, actor)
    else:
        post = FIRST + (number // 5 * 5 << 20)
        stream, event = f"{streams.like(post, actor)}-{number}", PostLiked(post, actor, other)
    return Append((Write(stream, 0, (NewEvent(id, event),)),), actor, id, id)


async def fill(log: EventLog, first: int, last: int) -> None:
    """Append the happenings from `first` up to, not including, `last`."""
    for start in range(first, last, 1000):
        numbers = range(start, min(last, start + 1000))
        await asyncio.gather(*(log.append(happening(number)) for number in numbers))


async def append_all(log: EventLog, history: Sequence[Recorded]) -> None:
    """Append events that stand nowhere yet but in a test's memory."""
    appends = (
        Append((Write(r.stream, r.version - 1, (NewEvent(r.id, r.event),)),), r.actor, r.id, r.id)
        for r in history
    )
    await asyncio.gather(*map(log.append, appends))
