"""Posts and comments. A comment is a post that answers another."""

import re
from typing import Final, NamedTuple

from commands import rules, text
from commands.decider import (
    NO_EVENTS,
    Aggregate,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
    subject_post,
)
from commands.errors import InvalidInput, NotAllowed
from events import streams
from events.schema import Event, Medium, PostCreated, PostDeleted, PostEdited, PostRemoved

MAX_MEDIA: Final = 4
_MEDIA_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_LANGUAGE_PATTERN: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Those of ASCII but tabs and line ends. Those beyond ASCII are allowed: old tweets have them, from
mistakes of encoding, and they do no harm."""


class CreatePost(Command, frozen=True):
    """Publish a text; with `reply_to` it is a comment. `media` are ids of uploads."""

    text: str
    reply_to: int | None = None
    media: tuple[str, ...] = ()
    sensitive: bool | None = None
    spoiler_text: str | None = None
    language: str | None = None


class Comment(Command, frozen=True):
    """Answer a post. The same as `CreatePost` with `reply_to`."""

    post: int
    text: str
    media: tuple[str, ...] = ()
    sensitive: bool | None = None
    spoiler_text: str | None = None
    language: str | None = None


class EditPost(Command, frozen=True):
    """Change one's own post. What is None stays as it is."""

    post: int
    text: str | None = None
    sensitive: bool | None = None
    spoiler_text: str | None = None
    language: str | None = None


class DeletePost(Command, frozen=True):
    """Delete one's own post."""

    post: int


class PostState(NamedTuple):
    """The state of a post; author 0 means that there is no post."""

    author: int = 0
    text: str = ""
    reply_to: int | None = None
    deleted: bool = False
    removed: bool = False
    """By an operator; its author may delete it still, so that its texts are erased."""
    sensitive: bool = False
    spoiler_text: str = ""
    language: str = ""


def _keep_warnings(state: PostState, event: PostCreated | PostEdited) -> PostState:
    return state._replace(
        sensitive=event.sensitive, spoiler_text=event.spoiler_text, language=event.language
    )


def _evolve(state: PostState, event: Event) -> PostState:
    match event:
        case PostCreated():
            state = PostState(event.author, event.text, event.reply_to)
            return _keep_warnings(state, event)
        case PostEdited():
            return _keep_warnings(state._replace(text=event.text), event)
        case PostRemoved():
            return state._replace(deleted=True, removed=True)
        case PostDeleted():
            return state._replace(deleted=True, removed=False)
    return state


POST_STATE = Aggregate(PostState(), _evolve)
"""Of a stream `post-<id>`."""


def _check_size(written: str) -> None:
    size = len(written.encode("utf-8", "surrogatepass"))
    if size > text.MAX_TEXT_BYTES:
        raise InvalidInput(
            "text-too-long",
            f"the text takes {size:,} bytes of UTF-8; shorten it to {text.MAX_TEXT_BYTES:,}",
        )


def _checked_text(written: str) -> str:
    _check_size(written)  # first: composing takes the square of the marks on a character
    normal = text.normalise_text(written)
    if text.is_invisible(normal):
        raise InvalidInput(
            "text-empty",
            f"nothing in the text can be seen; write 1 to {text.MAX_TEXT_LENGTH} characters",
        )
    _check_normal(normal)
    return normal


def _check_normal(normal: str) -> None:
    _check_size(normal)
    length = text.text_length(normal)
    if length > text.MAX_TEXT_LENGTH:
        raise InvalidInput(
            "text-too-long",
            f"the text counts {length:,} characters, each link {text.LINK_LENGTH} of them; "
            f"shorten it to {text.MAX_TEXT_LENGTH}",
        )
    if _CONTROL_CHARACTERS.search(normal):
        raise InvalidInput("text-invalid", "the text holds control characters; take them out")


def _checked_spoiler_text(written: str) -> str:
    """As a text is checked, but that there may be nothing in it."""
    _check_size(written)
    normal = text.normalise_text(written)
    if text.is_invisible(normal):
        return ""
    _check_normal(normal)
    return normal


def _checked_language(tag: str) -> str:
    if tag and not _LANGUAGE_PATTERN.fullmatch(tag):
        raise InvalidInput(
            "language-invalid", "a language is a tag of BCP 47 like 'en' or 'pt-BR'; check it"
        )
    return tag


def _checked_media(media: tuple[str, ...], context: CommandContext) -> tuple[Medium, ...]:
    if len(media) > MAX_MEDIA:
        raise InvalidInput(
            "media-too-many", f"a post holds {MAX_MEDIA} media at most, not {len(media)}"
        )
    if not all(map(_MEDIA_ID_PATTERN.fullmatch, media)) or len(set(media)) < len(media):
        raise InvalidInput(
            "media-invalid",
            "media are ids as POST /v1/media answers, each once; check them",
        )
    return tuple(rules.require_upload(id, context) for id in media)


def _decide_new_post(
    command: CreatePost | Comment,
    reply_to: int | None,
    context: CommandContext,
    read_state: ReadState,
) -> Decision:
    checked, shown = _checked_text(command.text), _checked_media(command.media, context)
    spoiler_text = _checked_spoiler_text(command.spoiler_text or "")
    language = _checked_language(command.language or "")
    rules.require_active_actor(context, read_state)
    if reply_to is not None:
        rules.require_open_post(context, reply_to, read_state)
    found = text.find_entities(checked)
    created = PostCreated(
        context.new_id, context.actor, checked, reply_to, found.hashtags, found.mentions, shown,
        bool(command.sensitive), spoiler_text, language,
    )  # fmt: skip
    return (StreamWrite(streams.post_stream(context.new_id), (created,)),)


def _decide_create(command: CreatePost, context: CommandContext, read_state: ReadState) -> Decision:
    return _decide_new_post(command, command.reply_to, context, read_state)


def _decide_comment(command: Comment, context: CommandContext, read_state: ReadState) -> Decision:
    return _decide_new_post(command, command.post, context, read_state)


def _require_own_post(post: int, context: CommandContext, read_state: ReadState) -> PostState:
    """The state of a post of the actor's, deleted or not. Rejects other users' posts."""
    rules.require_active_actor(context, read_state)
    state = read_state(streams.post_stream(post), POST_STATE)
    if not state.author or (state.deleted and state.author != context.actor):
        raise rules.post_not_found(post)
    if state.author != context.actor:
        raise NotAllowed(
            "not-author", f"post {post} has another author; only its author may do this"
        )
    return state


def _decide_edit(command: EditPost, context: CommandContext, read_state: ReadState) -> Decision:
    checked = None if command.text is None else _checked_text(command.text)
    state = _require_own_post(command.post, context, read_state)
    if state.deleted:
        raise rules.post_not_found(command.post)
    before = (
        context.open_text(state.text),
        state.sensitive,
        context.open_text(state.spoiler_text),
        state.language,
    )
    written, sensitive, spoiler_text, language = before
    if checked is not None:
        written = checked
    if command.sensitive is not None:
        sensitive = command.sensitive
    if command.spoiler_text is not None:
        spoiler_text = _checked_spoiler_text(command.spoiler_text)
    if command.language is not None:
        language = _checked_language(command.language)
    if (written, sensitive, spoiler_text, language) == before:
        return NO_EVENTS
    found = text.find_entities(written)
    edited = PostEdited(
        command.post, context.actor, written, found.hashtags, found.mentions,
        sensitive, spoiler_text, language,
    )  # fmt: skip
    return (StreamWrite(streams.post_stream(command.post), (edited,)),)


def _decide_delete(command: DeletePost, context: CommandContext, read_state: ReadState) -> Decision:
    state = _require_own_post(command.post, context, read_state)
    if state.deleted and not state.removed:
        return NO_EVENTS
    deleted = PostDeleted(command.post, context.actor, state.reply_to)
    return (StreamWrite(streams.post_stream(command.post), (deleted,)),)


CREATE_POST: Final[Decider[CreatePost]] = Decider(CreatePost, _decide_create, creates=True)
COMMENT: Final[Decider[Comment]] = Decider(Comment, _decide_comment, creates=True)
EDIT_POST: Final[Decider[EditPost]] = Decider(EditPost, _decide_edit, subject_id=subject_post)
DELETE_POST: Final[Decider[DeletePost]] = Decider(
    DeletePost, _decide_delete, subject_id=subject_post
)
