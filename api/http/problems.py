"""What each code of a problem means, at the address that problems name as their `type`."""

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, HTTPException

from api.http.errors import title_from_code
from api.http.route import ApiRoute
from api.schemas import ProblemMeaning

PROBLEM_MEANINGS: Final[Mapping[str, str]] = {
    "account-deleted": "The account was deleted. It can do nothing any more.",
    "account-gone": "The token is of an account that was deleted.",
    "account-unknown": "The token is of an account that there never was.",
    "alt-invalid": "An alternative text holds control characters.",
    "alt-too-long": "An alternative text is longer than is allowed.",
    "as-missing": "A line of a batch names no user in `as`, and its command needs one.",
    "batch-too-long": "A batch has too many lines or bytes. Send it in parts.",
    "bio-invalid": "A bio holds control characters.",
    "bio-too-long": "A bio is longer than is allowed.",
    "blocked": "The other user has blocked you.",
    "blocking": "You have blocked the other user. Lift the block first.",
    "body-too-large": "The body of a request is larger than is allowed.",
    "busy": "Too many passwords are being checked. Try again after `Retry-After`.",
    "clicks-busy": "More clicks come than can be stored. Send the batch again later.",
    "command-unknown": "A line of a batch has a command that does not exist.",
    "contended": "Others changed the same thing again and again. Try again.",
    "credentials-wrong": "Handle and password do not belong together.",
    "data-invalid": "The data of a line of a batch do not fit its command.",
    "delivery-not-found": "There is no such delivery of this webhook (any more).",
    "delivery-pending": "The delivery is still to be sent. Only what is done can be replayed.",
    "disconnected": "The client ended the connection before its request was complete.",
    "email-invalid": "This is no email address.",
    "email-taken": "Another account has this email address.",
    "handle-invalid": "A handle is 2 to 30 of the characters a-z, 0-9 and _.",
    "handle-taken": "Another account has, or had, this handle. Handles are never given twice.",
    "head-too-large": "The headers of a request have too many bytes, or are too many.",
    "hashtag-invalid": "A hashtag is letters, digits and `_`, not digits alone.",
    "hashtags-too-many": "A user follows 200 hashtags at most.",
    "image-invalid": "A file is no whole JPEG, PNG, WebP or GIF.",
    "image-too-costly": "Decoding an image takes more time or memory than is allowed.",
    "image-too-large": "An image has more pixels than is allowed, in all its frames together.",
    "image-too-long": "An animation has more frames than is allowed.",
    "images-busy": "Too many images are being decoded. Try again after `Retry-After`.",
    "internal-error": "A fault of the server's; its output has more. Trying again may help.",
    "invalid-body": "A field of the body is missing, unknown or of the wrong kind.",
    "invalid-position": "The header `Starling-Position` holds no position.",
    "invalid-query": "A parameter of the query makes no sense.",
    "key-invalid": "An idempotency key is 1 to 200 printable characters.",
    "key-reused": "The idempotency key was used for something else. Choose a new one.",
    "language-invalid": "A language is a tag of BCP 47, as `en` or `pt-BR`.",
    "line-invalid": "A line of a batch is no JSON object of the right form.",
    "line-too-long": "A line of a batch is longer than is allowed.",
    "malformed-form": "The body is no form as `multipart/form-data` has it.",
    "malformed-json": "The body is no JSON.",
    "malformed-request": "What came on the connection is no HTTP/1.1 request.",
    "media-invalid": "Media are ids as `POST /v1/media` answers, each of them once.",
    "media-not-found": "There is no such image, or nothing shows it any more.",
    "media-too-many": "A post holds fewer media than that.",
    "media-unknown": "An id names no image that the account uploaded and has not shown yet.",
    "method-not-allowed": "The address takes other methods; the header `Allow` has them.",
    "name-empty": "Nothing in a name can be seen.",
    "name-invalid": "A name holds control characters, or marks that change the direction.",
    "name-too-long": "A name is longer than is allowed.",
    "no-rebuild": "There is no rebuild of this projection.",
    "not-author": "Only the author of a post may do this.",
    "not-found": "There is nothing at this address.",
    "not-supported-here": "This server can not work on the views in this way; `detail` says why.",
    "password-common": "A password is among the most common ones, which are tried first.",
    "password-invalid": "A password is too short or too long.",
    "past-busy": "The views of that time are still being made. Try again after `Retry-After`.",
    "pins-too-many": "Five posts are pinned at most. Unpin one first.",
    "position-beyond-log": "The header `Starling-Position` names a position that the log has not.",
    "position-invalid": "This is no position of the log.",
    "app-not-found": "There is no such app, or its user has not let it in (any more).",
    "session-not-found": "There is no such session of one's own, or it was ended.",
    "post-not-found": "There is no such post, or it was deleted, or a block hides it.",
    "projection-not-found": "There is no projection of this name.",
    "projector-not-running": "No projector runs that could carry out the command. Start one.",
    "projector-refused": "The projector could not carry out the command; `detail` says why.",
    "query-empty": "The query of a search has no word.",
    "reference-invalid": "This refers to nothing: an id, `@handle` or `key:KEY` is expected.",
    "scope-missing": "The token does not allow this; another scope is needed.",
    "self-block": "A user can not block themselves.",
    "self-follow": "A user can not follow themselves.",
    "self-mute": "A user can not mute themselves.",
    "notification-invalid": "There can be no notification with that id.",
    "self-dismissal": "A user is never recommended to themselves.",
    "stream-failed": "A live stream broke on our side. Resume it with `Last-Event-ID`.",
    "text-empty": "Nothing in a text can be seen: it is empty, blank or of invisible characters.",
    "text-invalid": "A text holds control characters other than tabs and ends of lines.",
    "text-too-long": "A text counts more than 280 characters, or takes more than 8 KiB.",
    "time-in-future": "A question about the past names a time that has not come.",
    "zone-invalid": "A time zone is named as in the IANA database.",
    "period-invalid": "Periods go from a day to a later one, and there are not too many of them.",
    "time-invalid": "A time is RFC 3339 or a Snowflake id.",
    "time-out-of-range": "Ids can not hold this time.",
    "token-expired": "The token is too old. Sign in again.",
    "token-invalid": "This is no token of this server.",
    "user-required": "This needs a token of a user, not one of an app alone.",
    "token-missing": "This needs a token: sign in and send `Authorization: Bearer TOKEN`.",
    "too-many-connections": "The server has no place for another connection. Close some.",
    "too-many-requests": "More requests than a limit on rates allows. Wait for `Retry-After`.",
    "too-many-tries": "Too many wrong passwords. Try again after `Retry-After`.",
    "too-many-uploads": "An account has many images that nothing shows. Show some, or wait a day.",
    "too-many-webhooks": "The account has as many webhooks as it may have. Remove one.",
    "too-slow": "A request took too long to arrive, or a live stream to be read. Send it again.",
    "type-unknown": "There are no events of this type.",
    "unavailable": "Something that the server needs does not answer. Try again.",
    "url-too-long": "The URL of a request is longer than is allowed.",
    "user-not-found": "There is no such user.",
    "view-rebuilding": "What is asked is new, and its read model is being made from the log.",
    "views-behind": "The read models have not seen that position yet. Try again.",
    "webhook-invalid": "This address can't be sent to: webhooks need a public https:// one.",
    "webhook-not-found": "There is no such webhook (any more).",
}


router = APIRouter(route_class=ApiRoute, include_in_schema=False)


@router.get("/problems/{code}")
async def explain_problem(code: str) -> ProblemMeaning:
    """What a code means."""
    meaning = PROBLEM_MEANINGS.get(code)
    if meaning is None:
        raise HTTPException(404)
    return ProblemMeaning(type=f"/problems/{code}", title=title_from_code(code), meaning=meaning)
