"""Dismissing a recommendation."""

from commands.dismissal import DismissRecommendation
from commands.errors import InvalidInput, NotAllowed, NotFound
from events.schema import RecommendationDismissed, UserDeleted
from tests.support.decider_dsl import ANNA, BEN, PEOPLE

DISMISSED = RecommendationDismissed(ANNA, BEN)


def test_a_recommendation_is_dismissed_once() -> None:
    PEOPLE.when(DismissRecommendation(BEN)).then(DISMISSED)
    PEOPLE.when(DismissRecommendation(BEN)).then_idempotent()
    PEOPLE.and_then(DISMISSED).when(DismissRecommendation(BEN)).then_nothing()


def test_dismissing_oneself_or_an_unknown_user_is_refused() -> None:
    PEOPLE.when(DismissRecommendation(ANNA)).then_rejected("self-dismissal", InvalidInput)
    PEOPLE.when(DismissRecommendation(4711)).then_rejected("user-not-found", NotFound)


def test_a_deleted_user_can_be_dismissed_but_dismisses_nothing() -> None:
    PEOPLE.and_then(UserDeleted(BEN, "ben")).when(DismissRecommendation(BEN)).then(DISMISSED)
    gone = PEOPLE.and_then(UserDeleted(ANNA, "anna"))
    gone.when(DismissRecommendation(BEN)).then_rejected("account-deleted", NotAllowed)
