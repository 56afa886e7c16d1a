"""What the routes of an API process work with: the ports, and what is built on them once."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from api.accounts.recovery import AccountRecovery
from api.accounts.registration import AccountRegistrar
from api.bulk.command_importer import CommandImporter
from api.http.metrics import RequestMetrics
from api.http.request_log import RequestLog
from api.http.streaming_response import OpenStreams
from api.live.hub import LiveHub
from api.mastodon.instance_figures import InstanceFigures
from api.mastodon.status_entities import StatusEntities
from api.media.media_library import MediaLibrary
from api.ports import Ports
from api.views.muted_conversations import MutedConversations
from api.views.posts import PostViews
from api.views.reader_filters import ReaderFilters
from api.views.users import UserViews


class ApiState:
    """The attribute `api` of `app.state`."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.post_views = PostViews(ports)
        self.user_views = UserViews(ports)
        self.muted_conversations = MutedConversations(ports)
        self.reader_filters = ReaderFilters(ports)
        self.statuses = StatusEntities(ports, self.muted_conversations, self.reader_filters)
        self.instance_figures = InstanceFigures(ports)
        self.post_views.invalidation_listeners += (
            self.muted_conversations.hear_invalidations,
            self.reader_filters.hear_invalidations,
            self.statuses.hear_invalidations,
        )
        media = ports.media
        self.media = MediaLibrary(media.store, media.records, media.converter, ports.clock_ms)
        self.registrar = AccountRegistrar(ports, ports.passwords)
        self.recovery = AccountRecovery(ports, ports.passwords)
        self.importer = CommandImporter(
            ports.log,
            ports.handler,
            ports.accounts,
            self.registrar.register_account,
            ports.open_import_ids,
            ports.clock_ms,
            self.media,
        )
        health = ports.health
        self.metrics = RequestMetrics(health.projection_lags, health.render_shared_metrics)
        self.request_log = RequestLog(ports.access_log)
        self.open_streams = OpenStreams()
        self.live = LiveHub(ports, self.post_views)


def state_of(app: FastAPI) -> ApiState:
    """What an application works with, while its lifespan is open.

    Every request asks three times. By key: as the attribute, it takes Starlette 2 us to find.
    """
    state: ApiState = app.state["api"]
    return state


async def _current_state(request: Request) -> ApiState:
    state = state_of(request.app)
    state.post_views.apply_invalidations()
    return state


# Like every dependency here, a coroutine: FastAPI runs plain functions in threads, which costs 100
# us each, and would have two of them in the caches at once.
CurrentState = Annotated[ApiState, Depends(_current_state)]
"""The state, its caches as new as the projector's last invalidations."""
