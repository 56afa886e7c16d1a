"""The port to the records of media: who uploaded what, and what shows it.

They lie beside the accounts. An upload is recorded until the log says that a post or a profile
shows it; uses follow the log (`api.media.media_follower`) and could be made from it again. An image
that is neither uploaded nor used is unused: its files are removed, by one process at a time.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from events.schema import Medium


class Upload(NamedTuple):
    """An image that an account sent and nothing shows yet."""

    owner: int
    medium: Medium
    """With its alternative text as written."""
    uploaded_ms: int
    """Unix ms."""


class MediaShown(NamedTuple):
    """From `ms` (Unix) on `subject` shows an image of `owner`'s."""

    subject: str
    """`post-<id>`, `avatar-<user>` or `header-<user>`."""
    id: str
    owner: int
    ms: int


class MediaHidden(NamedTuple):
    """A subject shows none of its images any more."""

    subject: str


class OwnerLeft(NamedTuple):
    """An account was deleted, with all that it uploaded and showed."""

    owner: int


MediaChange = MediaShown | MediaHidden | OwnerLeft


class MediaRecords(Protocol):
    """Uploads and uses. Every method may raise `MediaUnavailable`; a change is durable on
    return.
    """

    async def add_upload(self, upload: Upload, most: int) -> bool:
        """Record an upload, in place of its owner's of the same image; then its files may be
        stored. False while files of this image are being removed: wait.

        Raises `TooManyUploads` where the owner has `most` already.
        """
        ...

    async def find_uploads(
        self, owner: int, ids: Collection[str], since_ms: int
    ) -> Sequence[Upload]:
        """Those of the owner's uploads that are not older and were not marked."""
        ...

    async def mark_shown(self, owner: int, ids: Collection[str]) -> None:
        """Have `find_uploads` leave these out. The log says so in a moment, too."""
        ...

    async def followed_through(self) -> int:
        """The position of the log up to which uses follow it."""
        ...

    async def follow(self, changes: Sequence[MediaChange], after: int, through: int) -> bool:
        """Apply the changes of the log's events behind `after` and up to `through`, in order.

        False, and nothing is changed, unless uses follow the log up to exactly `after`. An image
        that is shown ends its owner's upload of before then.
        """
        ...

    async def restart(self) -> None:
        """Forget all uses: they are to follow another log from its start."""
        ...

    async def expire_uploads(self, before_ms: int) -> None:
        """Remove older uploads."""
        ...

    async def claim_unused(self, now_ms: int) -> Sequence[str]:
        """Some unused images, whose files the caller is to remove at once, and then to call
        `forget`. To no other for a minute; meanwhile they can't be uploaded again."""
        ...

    async def forget(self, ids: Collection[str]) -> None:
        """The files of these unused images are gone."""
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...
