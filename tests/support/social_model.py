"""A small social network that obeys the rules of the commands: made-up events and plain answers.

Steps are tuples of small numbers, so that hypothesis can draw and shrink them; a step that the
rules forbid does nothing. The answers are computed as naively as possible from sets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from events import schema
from events.envelope import RecordedEvent
from events.schema import Event
from projections.projection import Projection, project_batch
from projections.store import Changes, ReadStore
from projections.timeline import TimelineEntry

SocialStep = tuple[str, int, int, int]
TAGS = ("cats", "Dogs", "straße")
FREQUENT_KINDS = (
    "post",
    "post",
    "post",
    "retweet",
    "retweet",
    "retweet",
    "follow",
    "follow",
    "follow",
)
RARE_KINDS = (
    "edit",
    "delete",
    "unretweet",
    "unfollow",
    "block",
    "unblock",
    "mute",
    "unmute",
    "end",
)


RELATION_KINDS = ("follow", "follow", "unfollow", "block", "block", "unblock", "unblock", "end")


def random_steps(
    most: int = 120, users: int = 6, kinds: tuple[str, ...] = FREQUENT_KINDS + RARE_KINDS
) -> st.SearchStrategy[list[SocialStep]]:
    """Random steps: what, who, whom or which post, how many events late its id is."""
    who = st.integers(1, users)
    one = st.tuples(st.sampled_from(kinds), who, st.integers(1, 40), st.integers(0, 3))
    # Hypothesis likes short lists: most of these are long.
    return st.lists(one, max_size=10) | st.lists(one, min_size=most // 3, max_size=most)


@dataclass
class SocialModel:
    """The state of the network and the events that led to it, in log order."""

    users: int = 6
    log: list[RecordedEvent] = field(default_factory=list)
    posts: dict[int, int] = field(default_factory=dict)
    tags: dict[int, set[str]] = field(default_factory=dict)
    created_posts: list[int] = field(default_factory=list)
    retweets: dict[tuple[int, int], int] = field(default_factory=dict)
    follows: set[tuple[int, int]] = field(default_factory=set)
    blocks: set[tuple[int, int]] = field(default_factory=set)
    block_counts: dict[tuple[int, int], int] = field(default_factory=dict)
    mutes: set[tuple[int, int]] = field(default_factory=set)
    deleted_users: set[int] = field(default_factory=set)

    def apply_steps(self, steps: Iterable[SocialStep]) -> "SocialModel":
        """Do the steps; gives itself."""
        for kind, who, what, late in steps:
            if who not in self.deleted_users:
                getattr(self, f"_{kind}")(who, what, (len(self.log) + 5 - late) * 1000)
        return self

    def expected_home(self, viewer: int) -> list[TimelineEntry]:
        """Each post at its oldest visible entry, newest first: original, or first retweet."""
        following = {a for a, b in self.follows if b == viewer}
        hidden = self.hidden_from(viewer)
        entries = []
        for post, author in self.posts.items():
            if author in hidden:
                continue
            if author in following | {viewer}:
                entries.append(TimelineEntry(post, post, None))
                continue
            passed = [
                TimelineEntry(id, post, actor)
                for (actor, of), id in self.retweets.items()
                if of == post and actor in (following | {viewer}) - hidden
            ]
            entries += sorted(passed)[:1]
        return sorted(entries, reverse=True)

    def expected_page(self, user: int, viewer: int) -> list[TimelineEntry]:
        """A user's posts, and retweets of others' posts, newest first, as the viewer sees them."""
        hidden = self.hidden_from(viewer)
        entries = [TimelineEntry(id, id) for id, author in self.posts.items() if author == user]
        entries += [
            TimelineEntry(id, post, user)
            for (actor, post), id in self.retweets.items()
            if actor == user and post in self.posts and self.posts[post] not in hidden | {user}
        ]
        return sorted(entries, key=lambda entry: entry.id, reverse=True)

    def hidden_from(self, viewer: int) -> set[int]:
        """Whom the viewer doesn't see."""
        pairs = self.blocks | {(b, a) for a, b in self.blocks} | self.mutes
        return {b for a, b in pairs if a == viewer}

    def _append_event(self, actor: int, id: int, owner: int, event: Event) -> int:
        position = len(self.log) + 1
        # The stream's name only tells the owner here.
        self.log.append(RecordedEvent(position, id, f"owner-{owner}", 1, actor, 0, 0, event))
        return id

    def _pick_post(self, what: int) -> int | None:
        post = (
            self.created_posts[-1 - what % len(self.created_posts)] if self.created_posts else None
        )
        return post if post in self.posts else None

    def _post(self, who: int, what: int, id: int) -> None:
        id += len(self.log)
        tags = TAGS[: what % 4] if what % 2 else ()
        event = schema.PostCreated(post=id, author=who, text="x", hashtags=tags)
        self._append_event(who, id, who, event)
        self.posts[id] = who
        self.tags[id] = set(tags)
        self.created_posts.append(id)

    def _edit(self, who: int, what: int, id: int) -> None:
        post = self._pick_post(what)
        if post is not None and self.posts[post] == who:
            tags = TAGS[what % 3 :]
            event = schema.PostEdited(post=post, author=who, text="y", hashtags=tags)
            self._append_event(who, id + len(self.log), who, event)
            self.tags[post] = set(tags)

    def _delete(self, who: int, what: int, id: int) -> None:
        post = self._pick_post(what)
        if post is not None:
            who = self.posts.pop(post)
            event = schema.PostDeleted(post=post, author=who)
            self._append_event(who, id + len(self.log), who, event)

    def _retweet(self, who: int, what: int, id: int) -> None:
        post = self._pick_post(what)
        if post is None or (who, post) in self.retweets:
            return
        if {(self.posts[post], who), (who, self.posts[post])} & self.blocks:
            return
        event = schema.PostRetweeted(post=post, user=who, author=self.posts[post])
        self.retweets[who, post] = self._append_event(who, id + len(self.log), who, event)

    def _unretweet(self, who: int, what: int, id: int) -> None:
        mine = [post for actor, post in self.retweets if actor == who]
        if mine:
            post = mine[what % len(mine)]
            event = schema.PostUnretweeted(post=post, user=who, author=0)
            self._append_event(who, id + len(self.log), who, event)
            del self.retweets[who, post]

    def _follow(self, who: int, what: int, id: int) -> None:
        whom = what % self.users + 1
        pair, back = (whom, who), (who, whom)
        if (
            whom in self.deleted_users | {who}
            or pair in self.follows | self.blocks
            or back in self.blocks
        ):
            return
        times = self.block_counts.get(pair, 0) + self.block_counts.get(back, 0)
        event = schema.UserFollowed(followee=whom, follower=who, blocks=times)
        self._append_event(who, id + len(self.log), whom, event)
        self.follows.add(pair)

    def _unfollow(self, who: int, what: int, id: int) -> None:
        mine = sorted(a for a, b in self.follows if b == who)
        if mine:
            whom = mine[what % len(mine)]
            event = schema.UserUnfollowed(followee=whom, follower=who)
            self._append_event(who, id + len(self.log), whom, event)
            self.follows.remove((whom, who))

    def _block(self, who: int, what: int, id: int) -> None:
        whom = what % self.users + 1
        if whom == who or (who, whom) in self.blocks:
            return
        times = self.block_counts[who, whom] = self.block_counts.get((who, whom), 0) + 1
        event = schema.UserBlocked(blocker=who, blocked=whom, count=times)
        self._append_event(who, id + len(self.log), who, event)
        self.blocks.add((who, whom))
        self.follows -= {(who, whom), (whom, who)}

    def _unblock(self, who: int, what: int, id: int) -> None:
        mine = sorted(b for a, b in self.blocks if a == who)
        if mine:
            whom = mine[what % len(mine)]
            event = schema.UserUnblocked(blocker=who, blocked=whom)
            self._append_event(who, id + len(self.log), who, event)
            self.blocks.remove((who, whom))

    def _mute(self, who: int, what: int, id: int) -> None:
        whom = what % self.users + 1
        if whom != who and (who, whom) not in self.mutes:
            event = schema.UserMuted(muter=who, muted=whom)
            self._append_event(who, id + len(self.log), who, event)
            self.mutes.add((who, whom))

    def _unmute(self, who: int, what: int, id: int) -> None:
        mine = sorted(b for a, b in self.mutes if a == who)
        if mine:
            whom = mine[what % len(mine)]
            event = schema.UserUnmuted(muter=who, muted=whom)
            self._append_event(who, id + len(self.log), who, event)
            self.mutes.remove((who, whom))

    def _end(self, who: int, what: int, id: int) -> None:
        if what > 10:
            return  # seldom
        event = schema.UserDeleted(user=who, handle=f"u{who}")
        self._append_event(who, id + len(self.log), who, event)
        self.deleted_users.add(who)
        self.follows = {pair for pair in self.follows if who not in pair}
        self.posts = {post: author for post, author in self.posts.items() if author != who}
        self.retweets = {key: id for key, id in self.retweets.items() if key[0] != who}


async def project_and_store(
    projection: Projection, store: ReadStore, log: Sequence[RecordedEvent], after: int = 0
) -> Changes:
    """Project a batch of consecutive events into a store that stands at `after`."""
    steps = [recorded for recorded in log if type(recorded.event) in projection.event_types]
    changes = await project_batch(projection, store, steps)
    await store.apply(changes, after, after + len(log))
    return changes


async def projection_rows(projection: Projection, store: ReadStore) -> dict[str, list[Any]]:
    """Every row of a projection; tally rows of zeros don't count."""
    found = {table: await store.scan(table) for table in projection.tables}
    return {
        table.name: sorted(
            row for row in of if any(row[table.key_size :]) or len(row) == table.key_size
        )
        for table, of in found.items()
    }
