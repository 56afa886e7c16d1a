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
from commands.references import References
from commands.retweet import Retweet, Unretweet
from commands.user import ChangeProfile, DeleteAccount, Register

Reference = str | int
"""An id may come as a number too."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Registration(_Strict):
    """A new account, with what it signs in with, if it is to. Never shown."""

    handle: str
    name: str
    bio: str = ""
    email: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Registration(...)"


class _NewPost(_Strict):
    text: str
    reply_to: Reference | None = None
    media: tuple[str, ...] = ()


class _NewComment(_Strict):
    post: Reference
    text: str
    media: tuple[str, ...] = ()


class _Edit(_Strict):
    post: Reference
    text: str


class _OfPost(_Strict):
    post: Reference


class _OfUser(_Strict):
    user: Reference


def _register(data: Registration, references: References) -> Command:
    return Register(data.handle, data.name, data.bio)


def _as_it_stands(data: Command, references: References) -> Command:
    return data


def _new_post(data: _NewPost, references: References) -> Command:
    reply_to = None if data.reply_to is None else references.post(str(data.reply_to))
    return CreatePost(data.text, reply_to, data.media)


def _new_comment(data: _NewComment, references: References) -> Command:
    return Comment(references.post(str(data.post)), data.text, data.media)


def _edit(data: _Edit, references: References) -> Command:
    return EditPost(references.post(str(data.post)), data.text)


def _of_post(command: Callable[[int], Command], data: _OfPost, references: References) -> Command:
    return command(references.post(str(data.post)))


def _of_user(command: Callable[[int], Command], data: _OfUser, references: References) -> Command:
    return command(references.user(str(data.user)))


SHAPES: Final[dict[str, tuple[type[Any], Callable[[Any, References], Command]]]] = {
    "register": (Registration, _register),
    "change_profile": (ChangeProfile, _as_it_stands),
    "delete_account": (DeleteAccount, _as_it_stands),
    "post": (_NewPost, _new_post),
    "edit_post": (_Edit, _edit),
    "delete_post": (_OfPost, partial(_of_post, DeletePost)),
    "comment": (_NewComment, _new_comment),
    "like": (_OfPost, partial(_of_post, Like)),
    "unlike": (_OfPost, partial(_of_post, Unlike)),
    "retweet": (_OfPost, partial(_of_post, Retweet)),
    "unretweet": (_OfPost, partial(_of_post, Unretweet)),
    "follow": (_OfUser, partial(_of_user, Follow)),
    "unfollow": (_OfUser, partial(_of_user, Unfollow)),
    "block": (_OfUser, partial(_of_user, Block)),
    "unblock": (_OfUser, partial(_of_user, Unblock)),
    "mute": (_OfUser, partial(_of_user, Mute)),
    "unmute": (_OfUser, partial(_of_user, Unmute)),
}
"""Command name -> (the type of its data, data and references -> command)."""
