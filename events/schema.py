"""What can happen.

An event is a frozen struct of plain values. `events.event_types` says how the log names it.

Time is not a field: an event happened at the time inside its id (see `events.envelope`).
"""

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something that happened. The subclasses are the event types of the log."""


class HandleClaimed(Event, frozen=True):
    """`user` took `handle` (already folded). Stream: `handle-<handle>`."""

    handle: str
    user: int


class UserRegistered(Event, frozen=True):
    """An account was created. Stream: `user-<user>`."""

    user: int
    handle: str
    name: str
    bio: str = ""


class RegistrationAbandoned(Event, frozen=True):
    """A registration that only claimed its handle was given up. Stream: `user-<user>`.

    Only on logs that can't append to two streams at once: the late half of the abandoned
    registration conflicts with it, so that two accounts can't get one handle.
    """

    user: int
    handle: str


class ProfileChanged(Event, frozen=True):
    """All values of the profile from now on. Stream: `user-<user>`.

    `avatar` and `header` are ids of images, empty for none; `fields` are pairs of a name and a
    value; `bot` says that a program writes here.
    """

    user: int
    name: str
    bio: str
    avatar: str = ""
    header: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    bot: bool = False


class UserDeleted(Event, frozen=True):
    """The account was deleted; its handle stays taken. Stream: `user-<user>`."""

    user: int
    handle: str


class AccountSuspended(Event, frozen=True):
    """An operator, the actor, suspended the account, for a reason. Stream: `user-<user>`."""

    user: int
    reason: str


class AccountUnsuspended(Event, frozen=True):
    """An operator, the actor, ended the suspension, for a reason. Stream: `user-<user>`."""

    user: int
    reason: str


class Medium(msgspec.Struct, frozen=True):
    """An image that a post shows; its bytes are in the media store, never in the log.

    `id` is the SHA-256 of the bytes in hexadecimal digits. By the rest views can say what there
    will be without asking the store; events of before images were kept have the id alone.
    """

    id: str
    type: str = ""
    width: int = 0
    height: int = 0
    blurhash: str = ""
    alt: str = ""
    """What the image shows, in words. A personal text."""


class PostCreated(Event, frozen=True):
    """A post, or a comment where `reply_to` names the post it answers. Stream: `post-<post>`.

    `hashtags` and `mentions` stand as written, without their marker, in order of appearance.
    `media` are the images that it shows. `sensitive` asks readers' programs to cover them;
    `spoiler_text` stands above the covered text, empty for none; `language` is a tag of BCP 47,
    empty where it isn't known.
    """

    post: int
    author: int
    text: str
    reply_to: int | None = None
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    media: tuple[Medium, ...] = ()
    sensitive: bool = False
    spoiler_text: str = ""
    language: str = ""


class PostEdited(Event, frozen=True):
    """All that can be edited of a post, from now on. Stream: `post-<post>`."""

    post: int
    author: int
    text: str
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    sensitive: bool = False
    spoiler_text: str = ""
    language: str = ""


class PostDeleted(Event, frozen=True):
    """The author deleted the post. Stream: `post-<post>`."""

    post: int
    author: int
    reply_to: int | None = None


class PostRemoved(PostDeleted, frozen=True):
    """An operator, the actor, removed the post, for a reason. Stream: `post-<post>`.

    What follows from a deletion follows from it, too.
    """

    reason: str = ""


class PostLiked(Event, frozen=True):
    """`user` likes `post`, which `author` wrote. Stream: `like-<post>-<user>`."""

    post: int
    user: int
    author: int


class PostUnliked(Event, frozen=True):
    """`user` no longer likes `post`. Stream: `like-<post>-<user>`."""

    post: int
    user: int
    author: int


class PostRetweeted(Event, frozen=True):
    """`user` showed `post` to their followers. Stream: `retweet-<post>-<user>`."""

    post: int
    user: int
    author: int


class PostUnretweeted(Event, frozen=True):
    """`user` took the retweet back. Stream: `retweet-<post>-<user>`."""

    post: int
    user: int
    author: int


class UserFollowed(Event, frozen=True):
    """`follower` follows `followee`. Stream: `follow-<followee>-<follower>`.

    `blocks` counts the blocks between the two, in either direction, that the decision had seen.
    A later block raises that count, and so ends this follow without an event for it
    (`docs/adr/0006`).
    """

    followee: int
    follower: int
    blocks: int = 0


class UserUnfollowed(Event, frozen=True):
    """`follower` no longer follows `followee`. Stream: `follow-<followee>-<follower>`.

    Either of the two did it: the follower, or the followee, who removed the follower.
    """

    followee: int
    follower: int


class UserBlocked(Event, frozen=True):
    """`blocker` blocks `blocked`; follows between them end. Stream: `block-<blocker>-<blocked>`.

    `count` is how many blocks this stream holds, with this one: 1 the first time.
    """

    blocker: int
    blocked: int
    count: int = 1


class UserUnblocked(Event, frozen=True):
    """The block ended; follows that it ended stay ended. Stream: `block-<blocker>-<blocked>`."""

    blocker: int
    blocked: int


class UserMuted(Event, frozen=True):
    """`muter` doesn't want to see `muted`, until a Unix ms if not for good (0); nor, with
    `notifications`, to be notified of them. Stream: `mute-<muter>-<muted>`.

    The end of its time is no event: readers compare it with their clock.
    """

    muter: int
    muted: int
    until: int = 0
    notifications: bool = True


class UserUnmuted(Event, frozen=True):
    """The mute ended. Stream: `mute-<muter>-<muted>`."""

    muter: int
    muted: int


class PrivateNoteChanged(Event, frozen=True):
    """What `user` notes about `subject` from now on, empty for none. Stream:
    `note-<user>-<subject>`."""

    user: int
    subject: int
    note: str


class RecommendationDismissed(Event, frozen=True):
    """`user` doesn't want `dismissed` recommended. Stream: `dismissal-<user>-<dismissed>`."""

    user: int
    dismissed: int


class PostBookmarked(Event, frozen=True):
    """`user` keeps `post` to read again. Stream: `bookmark-<post>-<user>`."""

    post: int
    user: int


class PostUnbookmarked(Event, frozen=True):
    """`user` no longer keeps `post`. Stream: `bookmark-<post>-<user>`."""

    post: int
    user: int


class PostPinned(Event, frozen=True):
    """`author` shows `post` at the top of the profile. Stream: `pins-<author>`."""

    post: int
    author: int


class PostUnpinned(Event, frozen=True):
    """`author` no longer shows `post` there. Stream: `pins-<author>`."""

    post: int
    author: int


class HashtagFollowed(Event, frozen=True):
    """`user` follows the folded hashtag `tag`. Stream: `hashtags-<user>`."""

    user: int
    tag: str


class HashtagUnfollowed(Event, frozen=True):
    """`user` no longer follows the folded hashtag `tag`. Stream: `hashtags-<user>`."""

    user: int
    tag: str


class ConversationMuted(Event, frozen=True):
    """`user` isn't notified of `post` and all below. Stream: `conversation-<post>-<user>`."""

    post: int
    user: int


class ConversationUnmuted(Event, frozen=True):
    """`user` is notified of them again. Stream: `conversation-<post>-<user>`."""

    post: int
    user: int


class NotificationsRead(Event, frozen=True):
    """`user` has seen the notifications up to `through`. Stream: `notifications-<user>`."""

    user: int
    through: int


class NotificationsDismissed(Event, frozen=True):
    """`user` dismissed the notifications from `first` to `last`: one, or all up to one.

    Stream: `notifications-<user>`.
    """

    user: int
    first: int
    last: int


class FilterKeyword(msgspec.Struct, frozen=True):
    """Words (a personal text) that a filter looks for; the user's others have other numbers."""

    number: int
    text: str
    whole_word: bool = True


class FilteredPost(msgspec.Struct, frozen=True):
    """A post that a filter names, by its id in digits; `number` as a keyword's."""

    number: int
    post: str


class FilterChanged(Event, frozen=True):
    """All values of a filter of `user`'s from now on; the first makes it. Stream: `filters-<user>`.

    `action` is `warn` or `hide`; `expires_at` is in Unix ms, 0 for never.
    """

    filter: int
    user: int
    title: str
    contexts: tuple[str, ...]
    action: str = "warn"
    expires_at: int = 0
    keywords: tuple[FilterKeyword, ...] = ()
    posts: tuple[FilteredPost, ...] = ()


class FilterDeleted(Event, frozen=True):
    """`user` deleted the filter. Stream: `filters-<user>`."""

    filter: int
    user: int


class ListChanged(Event, frozen=True):
    """All values of a list of `user`'s from now on; the first makes it. Stream: `list-<list>`.

    `replies_policy` says which answers it shows: `followed` (to accounts that the user follows),
    `list` (to its members) or `none`.
    """

    list: int
    user: int
    title: str
    replies_policy: str = "list"


class ListDeleted(Event, frozen=True):
    """`user` deleted the list. Stream: `list-<list>`."""

    list: int
    user: int


class ListMemberAdded(Event, frozen=True):
    """`user` put `member` on the list. Stream: `list-<list>`."""

    list: int
    user: int
    member: int


class ListMemberRemoved(Event, frozen=True):
    """`user` took `member` off the list. Stream: `list-<list>`."""

    list: int
    user: int
    member: int
