"""What the scopes of apps allow in `/v1`."""

import pytest

from api.accounts.app_scopes import covers_user_scope


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
        ("follow", "POST", "/v1/posts", False),
        ("push", "GET", "/v1/timelines/home", False),
        ("write", "DELETE", "/v1/users/me", False),
        ("write", "DELETE", "/v1/users/me/sessions/7", False),
        ("read", "GET", "/v1/users/me/sessions", False),
        ("write", "POST", "/v1/webhooks", False),
    ],
)
def test_a_scope_allows_what_it_names_and_no_more(
    scope: str, method: str, path: str, allowed: bool
) -> None:
    assert covers_user_scope({scope}, method, path) is allowed
