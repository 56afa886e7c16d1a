"""Reading and dismissing notifications."""

from commands.errors import InvalidInput
from commands.notifications import DismissNotifications, ReadNotifications
from events.schema import NotificationsDismissed, NotificationsRead
from tests.support.decider_dsl import ANNA, PEOPLE


def test_a_read_mark_only_moves_forward() -> None:
    PEOPLE.when(ReadNotifications(7)).then(NotificationsRead(ANNA, 7))
    read = PEOPLE.and_then(NotificationsRead(ANNA, 7))
    read.when(ReadNotifications(6)).then_nothing()
    read.when(ReadNotifications(8)).then(NotificationsRead(ANNA, 8))


def test_a_notification_is_dismissed_once_alone_or_with_all_before_it() -> None:
    PEOPLE.when(DismissNotifications(7, 7)).then(NotificationsDismissed(ANNA, 7, 7))
    one = PEOPLE.and_then(NotificationsDismissed(ANNA, 7, 7))
    one.when(DismissNotifications(7, 7)).then_nothing()
    one.when(DismissNotifications(0, 7)).then(NotificationsDismissed(ANNA, 0, 7))
    cleared = one.and_then(NotificationsDismissed(ANNA, 0, 9))
    cleared.when(DismissNotifications(8, 8)).then_nothing()


def test_ids_that_no_notification_can_have_are_refused() -> None:
    for command in (
        ReadNotifications(0),
        ReadNotifications(1 << 53),
        DismissNotifications(3, 7),
        DismissNotifications(0, -1),
    ):
        PEOPLE.when(command).then_rejected("notification-invalid", InvalidInput)
