"""Posts and comments. A comment is a post that answers another."""

import re
from typing import Final, NamedTuple

from commands import facts, text
from commands.decider import NOTHING, Aggregate, Asked, Change, Command, Decider, Decision, Look
from commands.errors import Invalid, NotAllowed, NotFound
from events import streams
from events.schema import Event, PostCreated, PostDeleted, PostEdited

MOST_MEDIA: Final = 4
_MEDIA_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""All of ASCII but tabs and ends of lines. Those beyond it stay: old tweets have them, by mistake
of their encoding, and they harm nobody."""


class CreatePost(Command, frozen=True):
    """Publish a text; with `reply_to` it is a comment. `media` are ids of the media store."""

    text: str
    reply_to: int | None = None
    media: tuple[str, ...] = ()


class Comment(Command, frozen=True):
    """Answer a post. The same as `CreatePost` with `reply_to`."""

    post: int
    text: str
    media: tuple[str, ...] = ()


class EditPost(Command, frozen=True):
    """Give a post of one's own another text."""

    post: int
    text: str


class DeletePost(Command, frozen=True):
    """Take a post of one's own away."""

    post: int


class Post(NamedTuple):
    """What the stream of a post says; author 0 means that there is none."""

    author: int = 0
    text: str = ""
    reply_to: int | None = None
    deleted: bool = False


def _evolve(state: Post, event: Event) -> Post:
    match event:
        case PostCreated(author=author, text=written, reply_to=reply_to):
            return Post(author, written, reply_to)
        case PostEdited(text=written):
            return state._replace(text=written)
        case PostDeleted():
            return state._replace(deleted=True)
    return state


POST = Aggregate(Post(), _evolve)
"""Of a stream `post-<id>`."""


def _checked_text(written: str) -> str:
    normal = text.normalise(written)
    length = text.length(normal)
    if not length or normal.isspace():
        raise Invalid("text-empty", f"the text is empty; write 1 to {text.LONGEST} characters")
    if length > text.LONGEST:
        raise Invalid(
            "text-too-long", f"the text has {length} characters; shorten it to {text.LONGEST}"
        )
    if _CONTROL.search(normal):
        raise Invalid("text-invalid", "the text holds control characters; take them out")
    return normal


def _checked_media(media: tuple[str, ...]) -> tuple[str, ...]:
    if len(media) > MOST_MEDIA:
        raise Invalid(
            "media-too-many", f"a post holds {MOST_MEDIA} media at most, not {len(media)}"
        )
    if not all(map(_MEDIA_ID.fullmatch, media)):
        raise Invalid("media-invalid", "media are ids as the media store gave them; check them")
    return media


def _publish(
    written: str, reply_to: int | None, media: tuple[str, ...], asked: Asked, look: Look
) -> Decision:
    checked, media = _checked_text(written), _checked_media(media)
    facts.may_act(asked, look)
    if reply_to is not None:
        facts.open_to(asked, reply_to, look)
    found = text.entities(checked)
    created = PostCreated(
        asked.id, asked.actor, checked, reply_to, found.hashtags, found.mentions, media
    )
    return (Change(streams.post(asked.id), (created,)),)


def _create(command: CreatePost, asked: Asked, look: Look) -> Decision:
    return _publish(command.text, command.reply_to, command.media, asked, look)


def _comment(command: Comment, asked: Asked, look: Look) -> Decision:
    return _publish(command.text, command.post, command.media, asked, look)


def _own(post: int, asked: Asked, look: Look) -> Post:
    """A post of the actor's, deleted or not; refuses others'."""
    facts.may_act(asked, look)
    state = look(streams.post(post), POST)
    if not state.author or (state.deleted and state.author != asked.actor):
        raise _gone(post)
    if state.author != asked.actor:
        raise NotAllowed(
            "not-author", f"post {post} is someone else's; only its author may do this"
        )
    return state


def _edit(command: EditPost, asked: Asked, look: Look) -> Decision:
    checked = _checked_text(command.text)
    state = _own(command.post, asked, look)
    if state.deleted:
        raise _gone(command.post)
    if checked == state.text:
        return NOTHING
    found = text.entities(checked)
    edited = PostEdited(command.post, asked.actor, checked, found.hashtags, found.mentions)
    return (Change(streams.post(command.post), (edited,)),)


def _delete(command: DeletePost, asked: Asked, look: Look) -> Decision:
    state = _own(command.post, asked, look)
    if state.deleted:
        return NOTHING
    deleted = PostDeleted(command.post, asked.actor, state.reply_to)
    return (Change(streams.post(command.post), (deleted,)),)


def _gone(post: int) -> NotFound:
    return NotFound("post-not-found", f"there is no post {post} (any more); check the id")


def _subject(command: EditPost | DeletePost, asked: Asked) -> int:
    return command.post


CREATE_POST: Final[Decider[CreatePost]] = Decider("post", CreatePost, _create, makes=True)
COMMENT: Final[Decider[Comment]] = Decider("comment", Comment, _comment, makes=True)
EDIT_POST: Final[Decider[EditPost]] = Decider("edit_post", EditPost, _edit, subject=_subject)
DELETE_POST: Final[Decider[DeletePost]] = Decider(
    "delete_post", DeletePost, _delete, subject=_subject
)
