"""The one place that chooses the profile.

Importing it is cheap: a profile and its drivers are imported when it is chosen, so
`starling --help` and one profile's processes never pay for the other's packages.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from infra.log_of_record import open_log, open_log_for_questions
from infra.profile import Profile
from infra.settings import Settings

if TYPE_CHECKING:
    from streams.rebuild.admin import ProjectionAdmin


def choose_profile(settings: Settings) -> Profile:
    """The profile that the settings name: by where the views are."""
    if settings.mongodb is None:
        from infra.embedded.profile import EmbeddedProfile

        return EmbeddedProfile(settings)
    from infra.streaming.profile import StreamingProfile

    return StreamingProfile(settings)


@asynccontextmanager
async def open_admin(
    settings: Settings, for_questions: bool = False
) -> AsyncIterator["ProjectionAdmin"]:
    """The administration of projections for the command line, which needs no running projector.

    `for_questions` alone, the data folder may be a copy that can't be written. Raises
    `LogUnavailable`.
    """
    with (open_log_for_questions if for_questions else open_log)(settings) as log:
        async with choose_profile(settings).open_admin(log, standalone=True) as admin:
            yield admin
