"""What the projection `profiles` shows of accounts."""

from events.schema import ProfileChanged, UserDeleted, UserRegistered
from projections.profiles import (
    HANDLES,
    PROFILES,
    HandleRow,
    ProfileRow,
    find_by_handle,
    read_profiles,
)
from tests.support.projection_dsl import given

ANNA = UserRegistered(1, "anna", "Anna", "About Anna")
BEN = UserRegistered(2, "ben", "Ben")


def test_a_registered_account_has_a_profile_and_a_handle() -> None:
    given(ANNA, BEN).expect(
        PROFILES, ProfileRow(1, "anna", "Anna", "About Anna"), ProfileRow(2, "ben", "Ben", "")
    ).expect(HANDLES, HandleRow("anna", 1), HandleRow("ben", 2))


def test_the_newest_change_of_a_profile_counts() -> None:
    given(ANNA, ProfileChanged(1, "A.", "x"), ProfileChanged(1, "Anne", "")).expect(
        PROFILES, ProfileRow(1, "anna", "Anne", "")
    )


def test_a_profile_has_the_newest_pictures_and_a_deleted_one_none() -> None:
    shown = ProfileChanged(1, "Anna", "", "face", "wide")
    given(ANNA, shown).expect(PROFILES, ProfileRow(1, "anna", "Anna", "", 0, "face", "wide"))
    given(ANNA, shown, ProfileChanged(1, "Anna", "", "", "wide")).expect(
        PROFILES, ProfileRow(1, "anna", "Anna", "", 0, "", "wide")
    )
    given(ANNA, shown, UserDeleted(1, "anna")).expect(
        PROFILES, ProfileRow(1, "anna", "", "", deleted=1)
    )


def test_a_deleted_account_leaves_a_tombstone_and_keeps_its_handle() -> None:
    given(ANNA, UserDeleted(1, "anna"), ProfileChanged(1, "late", "late")).expect(
        PROFILES, ProfileRow(1, "anna", "", "", deleted=1)
    ).expect(HANDLES, HandleRow("anna", 1))


def test_a_change_of_an_unknown_account_changes_nothing() -> None:
    given(ProfileChanged(1, "who", ""), UserDeleted(1, "anna")).expect(PROFILES).expect(HANDLES)


def test_a_second_registration_changes_nothing() -> None:
    given(ANNA, UserDeleted(1, "anna"), ANNA).expect(
        PROFILES, ProfileRow(1, "anna", "", "", deleted=1)
    )


def test_profiles_are_found_by_id_and_by_handle_unless_they_were_deleted() -> None:
    history = given(ANNA, BEN, UserDeleted(2, "ben"))
    anna = ProfileRow(1, "anna", "Anna", "About Anna")
    assert history.query(PROFILES, lambda store: read_profiles(store, [1, 2, 3])) == {1: anna}
    assert history.query(PROFILES, lambda store: find_by_handle(store, "anna")) == anna
    assert history.query(PROFILES, lambda store: find_by_handle(store, "ben")) is None
    assert history.query(PROFILES, lambda store: find_by_handle(store, "missing")) is None
