"""Every command there is: its name outside, and the rule that decides it."""

from typing import Any, Final

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
from commands.decider import Command, Decider

DECIDERS_BY_NAME: Final[dict[str, Decider[Any]]] = {
    "register": user.REGISTER,
    "change_profile": user.CHANGE_PROFILE,
    "delete_account": user.DELETE_ACCOUNT,
    "post": post.CREATE_POST,
    "edit_post": post.EDIT_POST,
    "delete_post": post.DELETE_POST,
    "comment": post.COMMENT,
    "like": like.LIKE,
    "unlike": like.UNLIKE,
    "retweet": retweet.RETWEET,
    "unretweet": retweet.UNRETWEET,
    "follow": follow.FOLLOW,
    "unfollow": follow.UNFOLLOW,
    "remove_follower": follow.REMOVE_FOLLOWER,
    "block": block.BLOCK,
    "unblock": block.UNBLOCK,
    "mute": block.MUTE,
    "unmute": block.UNMUTE,
    "write_note": private_note.WRITE_NOTE,
    "dismiss_recommendation": dismissal.DISMISS_RECOMMENDATION,
    "bookmark": bookmark.BOOKMARK,
    "unbookmark": bookmark.UNBOOKMARK,
    "pin": pin.PIN,
    "unpin": pin.UNPIN,
    "follow_hashtag": followed_hashtag.FOLLOW_HASHTAG,
    "unfollow_hashtag": followed_hashtag.UNFOLLOW_HASHTAG,
    "mute_conversation": muted_conversation.MUTE_CONVERSATION,
    "unmute_conversation": muted_conversation.UNMUTE_CONVERSATION,
    "remove_post": moderation.REMOVE_POST,
    "suspend_account": moderation.SUSPEND_ACCOUNT,
    "unsuspend_account": moderation.UNSUSPEND_ACCOUNT,
    "read_notifications": notifications.READ_NOTIFICATIONS,
    "dismiss_notifications": notifications.DISMISS_NOTIFICATIONS,
    "create_filter": filters.CREATE_FILTER,
    "change_filter": filters.CHANGE_FILTER,
    "delete_filter": filters.DELETE_FILTER,
    "create_list": lists.CREATE_LIST,
    "change_list": lists.CHANGE_LIST,
    "delete_list": lists.DELETE_LIST,
    "add_list_member": lists.ADD_LIST_MEMBER,
    "remove_list_member": lists.REMOVE_LIST_MEMBER,
}

DECIDERS_BY_COMMAND: Final[dict[type[Command], Decider[Any]]] = {
    decider.command_type: decider for decider in DECIDERS_BY_NAME.values()
}
