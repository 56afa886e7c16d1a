"""What the scopes of apps allow in both APIs."""

import pytest

from api.accounts.app_scopes import covers_scope, covers_user_scope


@pytest.mark.parametrize(
    ("scope", "method", "path", "allowed"),
    [
        ("read", "GET", "/v1/timelines/home", True),
        ("read", "POST", "/v1/posts", False),
        ("write", "POST", "/v1/posts", True),
        ("write", "GET", "/v1/timelines/home", False),
        ("read:statuses", "GET", "/v1/timelines/home", True),
        ("read:statuses", "GET", "/v1/users/me", False),
        ("read:accounts", "GET", "/v1/users/me", True),
        ("write:statuses", "DELETE", "/v1/posts/7", True),
        ("write:statuses", "PUT", "/v1/posts/7/like", False),
        ("write:favourites", "PUT", "/v1/posts/7/like", True),
        ("follow", "PUT", "/v1/users/@ada/follow", True),
        ("follow", "PUT", "/v1/users/@ada/block", True),
        ("follow", "DELETE", "/v1/users/me/followers/@ada", True),
        ("write:accounts", "DELETE", "/v1/users/me/followers/@ada", False),
        ("follow", "POST", "/api/v1/accounts/7/remove_from_followers", True),
        ("read:follows", "GET", "/api/v1/accounts/familiar_followers", True),
        ("write:accounts", "POST", "/api/v1/accounts", True),
        ("follow", "POST", "/v1/posts", False),
        ("push", "GET", "/v1/timelines/home", False),
        ("write", "DELETE", "/v1/users/me", False),
        ("write", "DELETE", "/v1/users/me/sessions/7", False),
        ("read", "GET", "/v1/users/me/sessions", False),
        ("write", "DELETE", "/v1/users/me/apps/7", False),
        ("write", "DELETE", "/v1/users/me/sessions/likes", False),
        ("read write follow", "POST", "/v1/webhooks", False),
        ("push", "POST", "/v1/webhooks", True),
        ("push", "GET", "/v1/webhooks/7/deliveries", True),
        ("push", "GET", "/v1/users/me", False),
        ("read:accounts", "GET", "/api/v1/accounts/verify_credentials", True),
        ("profile", "GET", "/api/v1/accounts/verify_credentials", True),
        ("profile", "GET", "/oauth/userinfo", True),
        ("profile", "GET", "/api/v1/accounts/7", False),
        ("read:statuses", "GET", "/api/v1/accounts/7/statuses", True),
        ("read:accounts", "GET", "/api/v1/accounts/7/statuses", False),
        ("read:follows", "GET", "/api/v1/accounts/relationships", True),
        ("follow", "POST", "/api/v1/accounts/7/unmute", True),
        ("follow", "GET", "/api/v1/blocks", True),
        ("write:statuses", "POST", "/api/v1/statuses/7/reblog", True),
        ("write:statuses", "POST", "/api/v1/statuses/7/favourite", False),
        ("write:bookmarks", "POST", "/api/v1/statuses/7/bookmark", True),
        ("write:statuses", "PUT", "/api/v1/statuses/7", True),
        ("read:statuses", "PUT", "/api/v1/statuses/7", False),
        ("write:media", "POST", "/api/v2/media", True),
        ("write:media", "GET", "/api/v1/media/7", True),
        ("write:accounts", "POST", "/api/v1/emails/confirmations", True),
        ("read:accounts", "GET", "/api/v1/emails/check_confirmation", True),
        ("write:mutes", "PUT", "/v1/posts/7/thread/mute", True),
        ("write:statuses", "DELETE", "/v1/posts/7/thread/mute", False),
        ("read:filters", "GET", "/v1/filters", True),
        ("read:filters", "PATCH", "/v1/filters/7", False),
        ("write:filters", "PATCH", "/v1/filters/7", True),
        ("read:accounts", "GET", "/v1/users/me/notes", True),
        ("write:accounts", "PUT", "/v1/users/@ada/note", True),
        ("follow", "PUT", "/v1/users/@ada/note", False),
        ("read:search", "GET", "/api/v2/search", True),
        ("read:statuses", "GET", "/api/v1/streaming/user", True),
        ("read:statuses", "GET", "/api/v1/streaming/user/notification", False),
        ("read:notifications", "GET", "/api/v1/streaming/user/notification", True),
        ("read:lists", "GET", "/api/v1/timelines/list/7", True),
        ("read:statuses", "GET", "/api/v1/timelines/tag/follow", True),
        ("write", "POST", "/api/v1/push/subscription", False),
    ],
)
def test_a_scope_allows_what_it_names_and_no_more(
    scope: str, method: str, path: str, allowed: bool
) -> None:
    assert covers_user_scope(set(scope.split()), method, path) is allowed


@pytest.mark.parametrize(
    ("granted", "wanted", "covered"),
    [
        ("read", "read:statuses", True),
        ("read:statuses", "read", False),
        ("follow", "write:blocks", True),
        ("write", "follow", False),
        ("read", "profile", True),
        ("profile", "read:accounts", False),
        ("read write", "push", False),
    ],
)
def test_an_app_may_be_given_parts_of_what_it_registered_for(
    granted: str, wanted: str, covered: bool
) -> None:
    assert covers_scope(frozenset(granted.split()), wanted) is covered
