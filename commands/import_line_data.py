"""What stands in the `data` of a line, for each command, and how it becomes the command."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.follow import Follow, Unfollow
from commands.like import Like, Unlike
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.references import ReferenceResolver
from commands.retweet import Retweet, Unretweet
from commands.user import ChangeProfile, DeleteAccount, Register

Reference = str | int
"""An id may come as a number too."""


class _StrictStruct(msgspec.Struct, forbid_unknown_fields=True):
    pass


class RegistrationData(_StrictStruct):
    """A new account, with what it signs in with, if it is to. Never shown."""

    handle: str
    name: str
    bio: str = ""
    email: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Registration(...)"


class _NewPostData(_StrictStruct):
    text: str
    reply_to: Reference | None = None
    media: tuple[str, ...] = ()


class _NewCommentData(_StrictStruct):
    post: Reference
    text: str
    media: tuple[str, ...] = ()


class _EditPostData(_StrictStruct):
    post: Reference
    text: str


class _PostTargetData(_StrictStruct):
    post: Reference


class _UserTargetData(_StrictStruct):
    user: Reference


def _build_registration(data: RegistrationData, references: ReferenceResolver) -> Command:
    return Register(data.handle, data.name, data.bio)


def _use_as_command(data: Command, references: ReferenceResolver) -> Command:
    return data


def _build_post(data: _NewPostData, references: ReferenceResolver) -> Command:
    reply_to = None if data.reply_to is None else references.post_id(str(data.reply_to))
    return CreatePost(data.text, reply_to, data.media)


def _build_comment(data: _NewCommentData, references: ReferenceResolver) -> Command:
    return Comment(references.post_id(str(data.post)), data.text, data.media)


def _build_edit(data: _EditPostData, references: ReferenceResolver) -> Command:
    return EditPost(references.post_id(str(data.post)), data.text)


def _build_for_post(
    command: Callable[[int], Command], data: _PostTargetData, references: ReferenceResolver
) -> Command:
    return command(references.post_id(str(data.post)))


def _build_for_user(
    command: Callable[[int], Command], data: _UserTargetData, references: ReferenceResolver
) -> Command:
    return command(references.user_id(str(data.user)))


COMMAND_BUILDERS: Final[
    dict[str, tuple[type[Any], Callable[[Any, ReferenceResolver], Command]]]
] = {
    "register": (RegistrationData, _build_registration),
    "change_profile": (ChangeProfile, _use_as_command),
    "delete_account": (DeleteAccount, _use_as_command),
    "post": (_NewPostData, _build_post),
    "edit_post": (_EditPostData, _build_edit),
    "delete_post": (_PostTargetData, partial(_build_for_post, DeletePost)),
    "comment": (_NewCommentData, _build_comment),
    "like": (_PostTargetData, partial(_build_for_post, Like)),
    "unlike": (_PostTargetData, partial(_build_for_post, Unlike)),
    "retweet": (_PostTargetData, partial(_build_for_post, Retweet)),
    "unretweet": (_PostTargetData, partial(_build_for_post, Unretweet)),
    "follow": (_UserTargetData, partial(_build_for_user, Follow)),
    "unfollow": (_UserTargetData, partial(_build_for_user, Unfollow)),
    "block": (_UserTargetData, partial(_build_for_user, Block)),
    "unblock": (_UserTargetData, partial(_build_for_user, Unblock)),
    "mute": (_UserTargetData, partial(_build_for_user, Mute)),
    "unmute": (_UserTargetData, partial(_build_for_user, Unmute)),
}
"""Command name -> (the type of its data, data and references -> command)."""
