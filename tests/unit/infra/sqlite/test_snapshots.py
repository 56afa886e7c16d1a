"""The folder of snapshots: how much of the disk it takes."""

import os
from pathlib import Path

from infra.sqlite.bulk_load_store import open_for_loading
from infra.sqlite.snapshots import ViewSnapshots
from projections.followers import FollowersProjection
from projections.profiles import ProfilesProjection
from streams.rebuild.time_travel import SnapshotCoverage

PROFILES = ProfilesProjection()
FOLLOWERS = FollowersProjection()


def positions(folder: Path) -> dict[str, list[int]]:
    """The positions of the snapshots of each projection."""
    found: dict[str, list[int]] = {}
    for path in folder.glob("[!u]*.sqlite"):
        name, _, position, *_ = path.stem.split("-")
        found.setdefault(name, []).append(int(position))
    return {name: sorted(some) for name, some in found.items()}


def save(snapshots: ViewSnapshots, position: int, size: int, used_at: int) -> bool:
    """Make a file of this size a snapshot, used last at that time; whether it is one now."""
    path = snapshots.unfinished_path("test")
    path.write_bytes(b"x" * size)
    projection = (PROFILES, FOLLOWERS)[position % 2]
    saved = snapshots.save_snapshot(projection, SnapshotCoverage(position), path)
    path.unlink()
    for made in path.parent.glob(f"{projection.name}-*-{position}-*"):
        os.utime(made, (used_at, used_at))
    return saved


def test_all_snapshots_together_keep_to_a_bound_and_those_used_last_stay(tmp_path: Path) -> None:
    snapshots = ViewSnapshots(tmp_path, max_bytes=1000)
    assert save(snapshots, 1, 400, used_at=1)
    assert save(snapshots, 2, 400, used_at=3)
    assert save(snapshots, 3, 200, used_at=2)
    assert positions(tmp_path) == {"followers": [1, 3], "profiles": [2]}
    assert save(snapshots, 4, 500, used_at=4)
    assert positions(tmp_path) == {"profiles": [2, 4]}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 900


def test_what_is_larger_than_the_bound_is_no_snapshot_and_costs_no_other(tmp_path: Path) -> None:
    snapshots = ViewSnapshots(tmp_path, max_bytes=1000)
    assert save(snapshots, 1, 400, used_at=1)
    assert not save(snapshots, 2, 1001, used_at=2)
    assert positions(tmp_path) == {"followers": [1]}


async def test_room_is_made_before_a_view_is_copied(tmp_path: Path) -> None:
    path = ViewSnapshots(tmp_path).unfinished_path("view")
    store = open_for_loading(path, PROFILES)
    size = store.size(path)
    snapshots = ViewSnapshots(tmp_path, max_bytes=size + 300)
    save(snapshots, 1, 200, used_at=1)
    save(snapshots, 3, 200, used_at=2)
    sizes = []

    class CopiedStore:
        """Notes how many bytes of snapshots there are when it is copied."""

        size = staticmethod(store.size)

        def copy_file(self, path: Path, to: Path) -> None:
            kept = [one.stat().st_size for one in tmp_path.glob("followers-*")]
            sizes.append(sum(kept))
            store.copy_file(path, to)

    assert snapshots.save_copy(PROFILES, SnapshotCoverage(4), CopiedStore(), path)  # type: ignore[arg-type]
    assert sizes == [200]
    assert positions(tmp_path) == {"followers": [3], "profiles": [4]}
    smaller = ViewSnapshots(tmp_path, max_bytes=100)
    assert not smaller.save_copy(PROFILES, SnapshotCoverage(6), CopiedStore(), path)  # type: ignore[arg-type]
    assert len(sizes) == 1
    await store.close()


def test_snapshots_of_an_older_program_are_removed(tmp_path: Path) -> None:
    snapshots = ViewSnapshots(tmp_path)
    unfinished = snapshots.unfinished_path("view")
    unfinished.write_bytes(b"x")
    assert save(snapshots, 1, 100, used_at=1)
    for name in ("followers-3-8000-1234-9999", "personal_lists-1-1-1-1-1"):
        (tmp_path / f"{name}.sqlite").write_bytes(b"x" * 100)
    snapshots.remove_unused(["followers", "profiles"])
    assert positions(tmp_path) == {"followers": [1]}
    assert unfinished.exists()
