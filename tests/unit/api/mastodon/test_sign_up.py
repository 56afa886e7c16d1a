"""What is wrong with the fields of a new account."""

import pytest

from api.mastodon.sign_up import NewAccount, field_problems

RIGHT = {"username": "ada", "email": "a@example.org", "password": "correct horse", "agreement": "1"}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("username", "", "ERR_BLANK"), ("username", "a", "ERR_TOO_SHORT"),
        ("username", "a" * 31, "ERR_TOO_LONG"), ("username", "a-b", "ERR_INVALID"),
        ("email", None, "ERR_BLANK"), ("email", "a@", "ERR_INVALID"),
        ("password", "short", "ERR_TOO_SHORT"), ("password", "x" * 201, "ERR_TOO_LONG"),
        ("password", "password", "ERR_INVALID"), ("password", None, "ERR_BLANK"),
        ("agreement", "false", "ERR_ACCEPTED"), ("agreement", None, "ERR_ACCEPTED"),
    ],
)  # fmt: skip
def test_a_field_has_one_problem_with_a_code(field: str, value: str | None, code: str) -> None:
    assert field_problems(NewAccount.model_validate(RIGHT)) == {}
    found = field_problems(NewAccount.model_validate(RIGHT | {field: value}))
    assert {name: problem.error for name, problem in found.items()} == {field: code}
