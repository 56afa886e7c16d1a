"""Random logs that could have been: random people give random commands to the real deciders.

A step is a tuple of small numbers, so that hypothesis can draw and shrink it. A command that the
rules refuse leaves no event.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from commands import (
    block,
    bookmark,
    dismissal,
    filters,
    follow,
    followed_hashtag,
    like,
    lists,
    moderation,
    muted_conversation,
    notifications,
    pin,
    post,
    private_note,
    retweet,
    user,
)
from commands.decider import Command
from commands.errors import CommandRejected
from commands.handler import CommandHandler
from commands.request import CommandRequest
from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent
from events.ids.snowflake import compose_id
from events.streams import owner_of
from projections.notifications import notification_id
from tests.support.sparse_log import SparseLog

CommandStep = tuple[str, int, int, int]

START_MS = 1_700_000_000_000
DELAYS_MS = (0, 1, 16, 700, 60_000, 16 * 60_000, 3 * 3_600_000, 86_400_000, 9 * 86_400_000)
TEXTS = ("plain", "#cats and #Dogs", "#CATS @u1", "@u2 and @u3", "#birds #birds", "#dogs", "x")

# What a step asks for, given whom (another user) and which (a post) it is about.
COMMANDS: dict[str, Callable[[int, int, str], Command]] = {
    "post": lambda whom, which, text: post.CreatePost(text),
    "post_covered": lambda whom, which, text: post.CreatePost(text, None, (), True, text, "en"),
    "cover": lambda whom, which, text: post.EditPost(which, None, text != "x", text, "de"),
    "comment": lambda whom, which, text: post.Comment(which, text),
    "like": lambda whom, which, text: like.Like(which),
    "retweet": lambda whom, which, text: retweet.Retweet(which),
    "follow": lambda whom, which, text: follow.Follow(whom),
    "unlike": lambda whom, which, text: like.Unlike(which),
    "unretweet": lambda whom, which, text: retweet.Unretweet(which),
    "unfollow": lambda whom, which, text: follow.Unfollow(whom),
    "remove_follower": lambda whom, which, text: follow.RemoveFollower(whom),
    "edit_post": lambda whom, which, text: post.EditPost(which, text),
    "delete_post": lambda whom, which, text: post.DeletePost(which),
    "block": lambda whom, which, text: block.Block(whom),
    "unblock": lambda whom, which, text: block.Unblock(whom),
    "mute": lambda whom, which, text: block.Mute(whom),
    "mute_awhile": lambda whom, which, text: block.Mute(whom, None, 1 + which % 9, text == "x"),
    "unmute": lambda whom, which, text: block.Unmute(whom),
    "write_note": lambda whom, which, text: private_note.WriteNote(whom, text.strip("x")),
    "dismiss": lambda whom, which, text: dismissal.DismissRecommendation(whom),
    "bookmark": lambda whom, which, text: bookmark.Bookmark(which),
    "unbookmark": lambda whom, which, text: bookmark.Unbookmark(which),
    "pin": lambda whom, which, text: pin.Pin(which),
    "unpin": lambda whom, which, text: pin.Unpin(which),
    "follow_hashtag": lambda whom, which, text: followed_hashtag.FollowHashtag(text.split()[0]),
    "unfollow_hashtag": lambda whom, which, text: followed_hashtag.UnfollowHashtag(text.split()[0]),
    "mute_conversation": lambda whom, which, text: muted_conversation.MuteConversation(which),
    "unmute_conversation": lambda whom, which, text: muted_conversation.UnmuteConversation(which),
    "remove_post": lambda whom, which, text: moderation.RemovePost(which, text),
    "suspend": lambda whom, which, text: moderation.SuspendAccount(whom, text),
    "unsuspend": lambda whom, which, text: moderation.UnsuspendAccount(whom, text),
    "read_notifications": lambda whom, which, text: notifications.ReadNotifications(
        notification_id(which)
    ),
    "dismiss_notifications": lambda whom, which, text: notifications.DismissNotifications(
        notification_id(which) if text == "plain" else 0, notification_id(which)
    ),
    "create_filter": lambda whom, which, text: filters.CreateFilter(
        text, ("home",), keywords=(filters.KeywordChange(text),)
    ),
    "change_filter": lambda whom, which, text: filters.ChangeFilter(
        which, text, keywords=(filters.KeywordChange(text),)
    ),
    "delete_filter": lambda whom, which, text: filters.DeleteFilter(which),
    "create_list": lambda whom, which, text: lists.CreateList(text),
    "change_list": lambda whom, which, text: lists.ChangeList(which, text, "none"),
    "delete_list": lambda whom, which, text: lists.DeleteList(which),
    "add_list_member": lambda whom, which, text: lists.AddListMember(which, whom),
    "remove_list_member": lambda whom, which, text: lists.RemoveListMember(which, whom),
    "change_profile": lambda whom, which, text: user.ChangeProfile(
        text, text, None, None, ((text, text),) if which % 2 else None, text == "x"
    ),
    "delete_account": lambda whom, which, text: user.DeleteAccount(),
}
FREQUENT_COMMANDS = (
    "post",
    "post",
    "post",
    "comment",
    "like",
    "like",
    "retweet",
    "follow",
    "follow",
)


def random_steps(most: int = 60) -> st.SearchStrategy[list[CommandStep]]:
    """What is asked for, by whom, about what, and how much later than the step before."""
    one = st.tuples(
        st.sampled_from([*FREQUENT_COMMANDS, *COMMANDS]),
        st.integers(0, 4),
        st.integers(0, 30),
        st.sampled_from(DELAYS_MS),
    )
    return st.lists(one, max_size=8) | st.lists(one, min_size=most // 2, max_size=most)


async def events_of_steps(steps: Sequence[CommandStep], people: int = 4) -> list[RecordedEvent]:
    """The events of `played`."""
    log = await log_of_steps(steps, people)
    return [EVENT_CODEC.decode_stored(stored) for stored in log.read_all(limit=1_000_000)]


async def log_of_steps(steps: Sequence[CommandStep], people: int = 4) -> SparseLog:
    """The log after some people registered and gave these commands."""
    log, clock, made = SparseLog(), [START_MS], [0]

    def new_id() -> int:
        made[0] += 1
        # Ids of two machines: they don't quite grow in the order of the log.
        return compose_id(clock[0] - made[0] % 2, made[0] % 2, made[0] % 4096)

    handler = CommandHandler(log, new_id)
    users = []
    for number in range(people):
        register = user.Register(f"u{number}", f"User {number}")
        users.append((await handler.handle(CommandRequest(register, 0))).id)
    posts = [0]
    lists_of: dict[int, list[int]] = defaultdict(lambda: [0])
    filters_of: dict[int, list[int]] = defaultdict(lambda: [0])
    done: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for name, who, what, later in steps:
        clock[0] += later
        actor, about = who % people, (users[what % people], posts[-1 - what % len(posts)])
        if name.endswith(("_list", "_list_member")):
            own = lists_of[actor]
            about = (about[0], own[-1 - what % len(own)])
        elif name.endswith("_filter"):
            own = filters_of[actor]
            about = (about[0], own[-1 - what % len(own)])
        # Of what they did, they undo something.
        undone = {"remove_list_member": "add_list_member"}.get(name, name.removeprefix("un"))
        before = done[undone, actor] if undone != name else ()
        if before:
            about = before[what % len(before)]
        command = COMMANDS[name](*about, TEXTS[what % len(TEXTS)])
        try:
            outcome = await handler.handle(CommandRequest(command, users[actor]))
        except CommandRejected:
            continue
        done[name, actor].append(about)
        if isinstance(command, post.CreatePost | post.Comment):
            posts.append(outcome.id)
        if isinstance(command, lists.CreateList):
            lists_of[actor].append(outcome.id)
        elif isinstance(command, filters.CreateFilter):
            filters_of[actor].append(outcome.id)
    return log


def interleave_owners(log: Sequence[RecordedEvent], order: Sequence[int]) -> list[RecordedEvent]:
    """The log with the events of different owners mixed anew, each owner's own in their order.

    `order` is a permutation of the log's places.
    """
    mine = defaultdict(list)
    for recorded in log:
        mine[owner_of(recorded)].append(recorded)
    mixed = [mine[owner_of(log[place])].pop(0) for place in order]
    return [recorded._replace(position=place) for place, recorded in enumerate(mixed, 1)]


def log_permutations(log: Sequence[Any]) -> st.SearchStrategy[list[int]]:
    """Permutations of a log's places."""
    return st.permutations(range(len(log)))
