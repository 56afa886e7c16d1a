"""Which addresses apps may be sent back to, and what the page's policy says of them."""

import pytest

from api.http.errors import RequestRefused
from api.oauth.redirect_addresses import checked_addresses, form_action


@pytest.mark.parametrize(
    ("address", "action"),
    [
        ("https://client.example/done?x=1", "form-action https://client.example"),
        ("http://127.0.0.1:8123/", "form-action http://127.0.0.1:8123"),
        ("http://[::1]:8123/", "form-action http:"),
        ("com.tapbots.Ivory.10217:/request_token", "form-action com.tapbots.ivory.10217:"),
        ("tuba://auth_code", "form-action tuba:"),
        ("urn:ietf:wg:oauth:2.0:oob", "form-action"),
    ],
)
def test_addresses_of_any_scheme_are_taken_and_the_policy_lets_their_redirect_pass(
    address: str, action: str
) -> None:
    assert checked_addresses(address) == (address,)
    assert form_action(address) == action


def test_addresses_come_a_line_each_or_with_spaces_between_them() -> None:
    assert checked_addresses("a:/b\nc:/d  a:/b") == ("a:/b", "c:/d")


@pytest.mark.parametrize(
    "address",
    [
        "", "/done", "javascript:alert(1)", "DATA:text/html,x", "https://", "https:///x",
        "https://a.example/#x", "https://user@a.example/", "http://[::1/", "x:/" + "y" * 2000,
        " ".join(f"a:/{n}" for n in range(11)),
    ],
)  # fmt: skip
def test_what_is_no_address_or_would_run_code_is_refused(address: str) -> None:
    with pytest.raises(RequestRefused):
        checked_addresses(address)
