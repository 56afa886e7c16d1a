"""Rules of accounts."""

import pytest

from commands.errors import InvalidInput, NotAllowed, StateConflict
from commands.user import ChangeProfile, DeleteAccount, Register
from events.schema import (
    HandleClaimed,
    Medium,
    ProfileChanged,
    RegistrationAbandoned,
    UserDeleted,
    UserRegistered,
)
from tests.support.decider_dsl import ANNA, BEN, NEW_ID, NO_HISTORY, PEOPLE

NOT_YET = 0


def test_a_registration_claims_the_handle_and_then_makes_the_account() -> None:
    NO_HISTORY.when(Register("dora", "Dora", "Hi"), NOT_YET).then(
        HandleClaimed("dora", NEW_ID), UserRegistered(NEW_ID, "dora", "Dora", "Hi")
    )


def test_a_handle_is_folded_to_lower_case() -> None:
    NO_HISTORY.when(Register("Do_Ra9", "Dora"), NOT_YET).then(
        HandleClaimed("do_ra9", NEW_ID), UserRegistered(NEW_ID, "do_ra9", "Dora")
    )


@pytest.mark.parametrize("handle", ["anna", "ANNA"])
def test_a_handle_is_given_once_whatever_its_case(handle: str) -> None:
    PEOPLE.when(Register(handle, "Other"), NOT_YET).then_rejected("handle-taken", StateConflict)


def test_the_handle_of_a_deleted_account_stays_taken() -> None:
    gone = PEOPLE.and_then(UserDeleted(ANNA, "anna"))
    gone.when(Register("anna", "Other"), NOT_YET).then_rejected("handle-taken", StateConflict)


@pytest.mark.parametrize(
    "handle",
    ["", "a", "a" * 31, "an na", "an-na", "ännа", "@anna", "anna\n", "\u212aelvin", "\u0661\u0662"],
)
def test_a_handle_is_2_to_30_ascii_letters_digits_and_underscores(handle: str) -> None:
    NO_HISTORY.when(Register(handle, "Dora"), NOT_YET).then_rejected("handle-invalid", InvalidInput)


@pytest.mark.parametrize("handle", ["ab", "a" * 30, "__", "42"])
def test_handles_at_the_bounds_are_fine(handle: str) -> None:
    NO_HISTORY.when(Register(handle, "Dora"), NOT_YET).then(
        HandleClaimed(handle, NEW_ID), UserRegistered(NEW_ID, handle, "Dora")
    )


def test_a_claim_without_a_registration_is_taken_over_after_giving_the_first_up() -> None:
    orphan = NO_HISTORY.and_then(HandleClaimed("dora", 77))
    orphan.when(Register("dora", "Dora"), NOT_YET).then(
        RegistrationAbandoned(77, "dora"),
        HandleClaimed("dora", NEW_ID),
        UserRegistered(NEW_ID, "dora", "Dora"),
    )


def test_a_claim_that_was_given_up_already_is_taken_over_at_once() -> None:
    abandoned = NO_HISTORY.and_then(HandleClaimed("dora", 77), RegistrationAbandoned(77, "dora"))
    abandoned.when(Register("dora", "Dora"), NOT_YET).then(
        HandleClaimed("dora", NEW_ID), UserRegistered(NEW_ID, "dora", "Dora")
    )


def test_name_and_bio_are_trimmed_and_composed() -> None:
    NO_HISTORY.when(Register("dora", " Zoe\u0301 ", "  a\nb "), NOT_YET).then(
        HandleClaimed("dora", NEW_ID), UserRegistered(NEW_ID, "dora", "Zo\xe9", "a\nb")
    )


@pytest.mark.parametrize(
    ("name", "bio", "code"),
    [
        ("", "", "name-empty"),
        ("  \t", "", "name-empty"),
        ("\u3164\u200b", "", "name-empty"),
        ("\u202e", "", "name-empty"),
        ("n" * 51, "", "name-too-long"),
        ("q" + "\u0315\u0300" * 225_000, "", "name-too-long"),
        ("q", "q" + "\u0315\u0300" * 225_000, "bio-too-long"),
        ("\u202eannA", "", "name-invalid"),
        ("Anna\u200f", "", "name-invalid"),
        ("\u2066Anna\u2069", "", "name-invalid"),
        ("a\nb", "", "name-invalid"),
        ("a\0b", "", "name-invalid"),
        ("a", "b" * 501, "bio-too-long"),
        ("a", "b\0", "bio-invalid"),
    ],
)
def test_names_and_bios_beyond_their_bounds_are_refused(name: str, bio: str, code: str) -> None:
    NO_HISTORY.when(Register("dora", name, bio), NOT_YET).then_rejected(code, InvalidInput)
    PEOPLE.when(ChangeProfile(name, bio)).then_rejected(code, InvalidInput)


def test_names_and_bios_at_their_bounds_are_fine() -> None:
    PEOPLE.when(ChangeProfile("e\u0301" * 50, "b" * 500)).then(
        ProfileChanged(ANNA, "\xe9" * 50, "b" * 500)
    )


@pytest.mark.parametrize("name", ["علی\u200cرضا", "👩\u200d🚀 Anna", "שרה"])
def test_a_name_may_be_written_from_right_to_left_and_join_its_letters(name: str) -> None:
    PEOPLE.when(ChangeProfile(name)).then(ProfileChanged(ANNA, name, "About Anna"))


def test_a_change_of_one_value_keeps_the_other() -> None:
    PEOPLE.when(ChangeProfile(name="Ann")).then(ProfileChanged(ANNA, "Ann", "About Anna"))
    PEOPLE.when(ChangeProfile(bio="")).then(ProfileChanged(ANNA, "Anna", ""))


def test_a_second_change_builds_on_the_first() -> None:
    changed = PEOPLE.and_then(ProfileChanged(ANNA, "Ann", "New"))
    changed.when(ChangeProfile(bio="Newer")).then(ProfileChanged(ANNA, "Ann", "Newer"))


def test_a_profile_that_is_so_already_makes_no_event() -> None:
    PEOPLE.when(ChangeProfile()).then_nothing()
    PEOPLE.when(ChangeProfile(" Anna ", "About Anna")).then_nothing()
    PEOPLE.when(ChangeProfile("Ann")).then_idempotent()


def test_a_profile_has_a_few_fields_of_its_own_and_says_whether_it_is_a_bot() -> None:
    fields = (("Pronouns", "she/her"), ("Site", ""))
    shown = ProfileChanged(ANNA, "Anna", "About Anna", fields=fields, bot=True)
    written = (("  Pronouns", "she/her "), ("", " "), ("Site", ""))
    PEOPLE.when(ChangeProfile(fields=written, bot=True)).then(shown)
    changed = PEOPLE.and_then(shown)
    changed.when(ChangeProfile(fields=fields)).then_nothing()
    changed.when(ChangeProfile(fields=())).then(
        ProfileChanged(ANNA, "Anna", "About Anna", bot=True)
    )
    changed.when(ChangeProfile(bot=False)).then(
        ProfileChanged(ANNA, "Anna", "About Anna", fields=fields)
    )


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (((" ", "x"),), "field-invalid"), ((("a", "b\nc"),), "field-invalid"),
        ((("a\0", "b"),), "field-invalid"), ((("a" * 256, "b"),), "field-too-long"),
        ((("a", "b" * 256),), "field-too-long"), ((("a", "b"),) * 5, "fields-too-many"),
    ],
)  # fmt: skip
def test_fields_of_a_profile_are_bounded(fields: tuple[tuple[str, str], ...], code: str) -> None:
    PEOPLE.when(ChangeProfile(fields=fields)).then_rejected(code, InvalidInput)


def test_a_picture_of_a_profile_is_an_upload_until_it_is_taken_away() -> None:
    picture = Medium("ab" * 32, "image/png", 3, 2)
    shown = ProfileChanged(ANNA, "Anna", "About Anna", picture.id)
    PEOPLE.when(ChangeProfile(avatar=picture.id)).then_rejected("media-unknown", InvalidInput)
    PEOPLE.when(ChangeProfile(avatar=picture.id), uploads=(picture,)).then(shown)
    PEOPLE.when(ChangeProfile(avatar="")).then_nothing()
    with_avatar = PEOPLE.and_then(shown)
    with_avatar.when(ChangeProfile(avatar=picture.id)).then_nothing()
    with_avatar.when(ChangeProfile("Ann")).then(
        ProfileChanged(ANNA, "Ann", "About Anna", picture.id)
    )
    with_avatar.when(ChangeProfile(header=picture.id), uploads=(picture,)).then(
        ProfileChanged(ANNA, "Anna", "About Anna", picture.id, picture.id)
    )
    with_avatar.when(ChangeProfile(avatar="")).then(ProfileChanged(ANNA, "Anna", "About Anna"))


def test_an_account_is_deleted_once() -> None:
    PEOPLE.when(DeleteAccount()).then(UserDeleted(ANNA, "anna"))
    PEOPLE.when(DeleteAccount()).then_idempotent()


def test_a_deleted_or_unknown_account_changes_nothing() -> None:
    gone = PEOPLE.and_then(UserDeleted(ANNA, "anna"))
    gone.when(ChangeProfile("Ann")).then_rejected("account-deleted", NotAllowed)
    gone.when(ChangeProfile("Ann"), BEN).then(ProfileChanged(BEN, "Ann", ""))
    NO_HISTORY.when(ChangeProfile("Ann")).then_rejected("account-unknown", NotAllowed)
    NO_HISTORY.when(DeleteAccount()).then_rejected("account-unknown", NotAllowed)
