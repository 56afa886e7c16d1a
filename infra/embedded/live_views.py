"""The live views of a data folder, as the projector writes them, and the switch to rebuilt ones.

Only the holder of the status page's lock has them open for writing. A view of an older version than
the program's, or one that isn't there, is due to be rebuilt. Until then the older one serves: kept
current by the program as it is now where its tables are the same, else as it stands, since the code
for its tables is gone.
"""

import logging
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Final, Literal

from events.log import LOG_START, EventLog, LogReplaced
from infra.embedded.current_views import open_current_view
from infra.embedded.log_mark import LogMark
from infra.settings import Settings
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.status_page import StatusPageWriter
from infra.sqlite.snapshots import ViewSnapshots
from infra.sqlite.view_files import ViewFiles, version_of_file
from projections.projection import Projection
from projections.registry import INVALIDATIONS
from projections.store import Changes, ReadStore, StoreError, StoreUnavailable
from streams.projecting.apply_batch import ChangeListener
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.rebuild.fingerprint import projection_fingerprint, warn_of_changed_code
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord
from streams.rebuild.status import shown_up_to

INLINE_BUILD_LIMIT: Final = 20_000
"""Positions of a log up to which a view that isn't there is built in place, without a rebuild."""

RING_PROJECTION: Final = "timeline"
"""The projection whose changes fill the rings of home timelines."""

LOG_CHECK_SECONDS: Final = 0.5
"""Between two looks at whether the log is the one that the views were made from, while they run."""

SwitchResult = Literal["done", "none", "later"]

_logger = logging.getLogger(__name__)


class LiveViews:
    """The views that are written, and the listeners to their changes: invalidations and rings."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        log_mark: LogMark,
        status_page: StatusPageWriter,
        rings: RingFanout,
    ) -> None:
        self.settings = settings
        self.log_mark = log_mark
        self._next_log_check = 0.0
        self.view_files = ViewFiles(settings.views_folder)
        self.followers: list[RunningProjection] = []
        self._log, self._status_page, self._ring_fanout = log, status_page, rings

    def drop_damaged_views(self, projections: Sequence[Projection]) -> None:
        """Before any is opened: have built again what can be seen to be damaged."""
        names = [projection.name for projection in projections]
        for what in self.view_files.forget_damaged(names):
            _logger.warning("%s: it is made again from the log", what)

    async def drop_foreign_views(self, projections: Sequence[Projection]) -> None:
        """Before any is opened: if they show another log than the one that is there now, have all
        views built again, and forget rebuilds, skips and snapshots, which are of that log, too.

        A process that is killed in between leaves the mark as it was, and the next one goes on.
        """
        try:
            self.log_mark.require_same_log(self._log)
            await self._require_no_view_beyond_head(projections)
        except LogReplaced as error:
            _logger.warning("%s; all views are built again from this log", error)
            self.view_files.forget_all([projection.name for projection in projections])
            ViewSnapshots(self.settings.snapshots_folder).remove_all()
        self.log_mark.start(self._log)

    async def _require_no_view_beyond_head(self, projections: Sequence[Projection]) -> None:
        """For folders without a mark. Raises `LogReplaced`."""
        for projection in projections:
            store = open_current_view(self.settings, projection)
            if store is None:
                continue
            try:
                position = await store.read_checkpoint()
            finally:
                await store.close()
            if position > (head := self._log.head()):
                raise LogReplaced(
                    f"the view of {projection.name} is at position {position}, "
                    f"the log ends at {head}"
                )

    async def open_projection(self, projection: Projection) -> bool:
        """Follow a projection's current view, if there is one; False if a rebuild is due."""
        file = self.view_files.current_files().get(projection.name)
        if file is None and not self._is_far(LOG_START, self._log.head()):
            file, store = self._create_in_place(projection)
        else:
            store = self._open_file(file, projection)
        if store is None:
            await self._publish_outdated(projection)
            return False
        if (origin := self.view_files.view_origin(projection.name)) is not None:
            warn_of_changed_code(projection, origin)
        await self._start_following(projection, store)
        if projection.name == RING_PROJECTION:
            await self._ring_fanout.start(store, source=str(file))
        return version_of_file(str(file)) == projection.version

    def _create_in_place(self, projection: Projection) -> tuple[str | None, ReadStore | None]:
        """A first view, still empty; none where a rebuild is building it already."""
        try:
            with self.view_files.lock_rebuild(projection.name):
                file = self.view_files.next_file_name(projection)
        except RebuildInProgress:
            return None, None
        store = self.view_files.open_view(file, projection)
        fingerprint = projection_fingerprint(projection)
        self.view_files.switch_files({projection.name: file}, {file: fingerprint})
        return file, store

    def _open_file(self, file: str | None, projection: Projection) -> ReadStore | None:
        if file is None or not (self.view_files.folder / file).exists():
            return None
        try:
            return self.view_files.open_view(file, projection)
        except StoreUnavailable:
            raise
        except StoreError:
            return None  # another version of the program made it, with other tables

    async def _publish_outdated(self, projection: Projection) -> None:
        """Publish how far the view of another version is: API processes serve it until then."""
        if projection.name == RING_PROJECTION:
            self._ring_fanout.drop_rings()
        store = open_current_view(self.settings, projection)
        if store is not None:
            skips = self.view_files.settings_of(projection.name).skips
            stored = await store.read_checkpoint()
            shown = shown_up_to(self._log, projection, stored, skips)
            self._status_page.publish_position(projection.name, shown)
            await store.close()

    async def _start_following(self, projection: Projection, store: ReadStore) -> RunningProjection:
        chosen = self.view_files.settings_of(projection.name)
        listeners = [self._invalidation_listener(projection)]
        if projection.name == RING_PROJECTION:
            listeners.insert(0, self._ring_fanout.deliver_changes)
        follower = RunningProjection(
            projection,
            store,
            partial(_notify_listeners, listeners),
            chosen.skips,
            chosen.paused,
        )
        await follower.start()
        self.followers.append(follower)
        return follower

    def find_follower(self, name: str) -> RunningProjection | None:
        """A projection that is kept current; None while it has no view."""
        return next((one for one in self.followers if one.projection.name == name), None)

    def heartbeat(self) -> None:
        """Show API processes that the projector is alive.

        Never before a first batch, or a projector that fails again and again would seem alive.
        """
        self._status_page.heartbeat()

    async def run_maintenance(self) -> bool:
        """Build the rings that are requested; True where more are.

        Raises `LogReplaced`, and `StoreUnavailable` where a view is damaged.
        """
        # Not before each batch: it reads the log.
        if (now := monotonic()) >= self._next_log_check:
            self.log_mark.require_same_log(self._log)
            self._require_readable_views()
            self._next_log_check = now + LOG_CHECK_SECONDS
        follower = self.find_follower(RING_PROJECTION)
        return follower is not None and await self._ring_fanout.run_maintenance(follower.store)

    def _require_readable_views(self) -> None:
        """Raises `StoreUnavailable` where a process met damage: the next projector mends it."""
        for path in self.view_files.reported_damage():
            raise StoreUnavailable(f"{path} is damaged, and is made again from the log")

    async def switch_to_rebuilt(
        self, projection: Projection, *, alone: bool = False
    ) -> SwitchResult:
        """Switch to a rebuilt view in one step.

        First the live view is brought to where the rebuilt one is, so that its listeners are called
        for every change; then the rebuilt one to where the live one is, by a runner without
        listeners. "later": the live view is paused, or so far behind that the other views would
        have to wait, unless the process exists for this switch (`alone`). A process that is killed
        at any point has either switched or not. Raises `RebuildInProgress`, `StoreError`.
        """
        with self.view_files.lock_rebuild(projection.name):
            record = self.view_files.read_record(projection.name)
            before = self.view_files.current_files().get(projection.name)
            if record is None or record.state != "ready" or record.version != projection.version:
                return "none"
            if record.store != before:
                if self._must_wait(projection, record.position, alone):
                    return "later"
                await self._adopt_view(projection, record)
                if before is not None:
                    self.view_files.remove_view(before)
            self.view_files.delete_record(record)
        return "done"

    def _must_wait(self, projection: Projection, position: int, alone: bool) -> bool:
        follower = self.find_follower(projection.name)
        if follower is None:
            return False
        return follower.paused or (not alone and self._is_far(follower.position, position))

    def _is_far(self, after: int, position: int) -> bool:
        """Whether a projector should not do so much between two batches."""
        return self._log.features.estimate_events(after, position) > INLINE_BUILD_LIMIT

    async def _adopt_view(self, projection: Projection, record: RebuildRecord) -> None:
        file = record.store
        store = self.view_files.open_view(file, projection)
        follower = self.find_follower(projection.name)
        skips = self.view_files.settings_of(projection.name).skips
        rebuilt = RunningProjection(projection, store, skipped_positions=skips)
        await rebuilt.start()
        if follower is not None:
            await self._runner_of(follower).catch_up(rebuilt.position)
            await self._runner_of(rebuilt).catch_up(follower.position)
            old = await follower.switch_store(store, rebuilt.position)
            await old.close()
        else:
            await self._start_following(projection, store)
        self.view_files.switch_files({projection.name: file}, {file: record.fingerprint})
        self._status_page.publish_position(projection.name, rebuilt.position)
        self._status_page.bump_generation()
        if projection.name == RING_PROJECTION:
            await self._ring_fanout.start(store, source=file)

    def _runner_of(self, one: RunningProjection) -> LogRunner:
        return LogRunner(self._log, [one], before_batch=self.log_mark.advance)

    async def close(self) -> None:
        """Close the views."""
        for follower in self.followers:
            await follower.store.close()

    def remove_unused(self, projections: Sequence[Projection]) -> None:
        """Remove the files of views that are neither current nor being built, or of projections
        that the program doesn't have any more: what they show of people would never be erased."""
        self.view_files.remove_unused([projection.name for projection in projections])

    def _invalidation_listener(self, projection: Projection) -> ChangeListener:
        invalidations = INVALIDATIONS.get(projection.name)

        def publish_invalidations(changes: Changes, position: int) -> None:
            if invalidations is not None:
                self._status_page.add_invalidations(invalidations(changes))

        return publish_invalidations


def _notify_listeners(listeners: Sequence[ChangeListener], changes: Changes, position: int) -> None:
    for listen in listeners:
        listen(changes, position)
