"""How much a community of a given size asks for: events, bytes, cores, partitions, machines.

Arithmetic on numbers that are given or were measured, nothing more; `docs/capacity.md` explains
each line. Rates and times are what `make bench` measured (`infra.simulation.measured_figures`),
bytes of an event those of `docs/streaming.md`.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from infra.simulation.measured_figures import MeasuredFigures

SECONDS_A_DAY: Final = 86_400
KB: Final = 1_000
"""Bytes: all units here are decimal, as those of disks."""

LOG_BYTES: Final = 220
"""Of an event in SQLite."""
TOPIC_BYTES: Final = 45
"""Of an event in the topic, compressed, in one replica."""
VIEW_BYTES: Final = 400
"""Of an event in MongoDB: documents and indexes."""
THUMBNAIL_BYTES: Final = 15 * KB
RING_BYTES: Final = 800 * 8
"""Of the home timeline of an active reader."""

PARTITIONS_A_WORKER: Final = 32
"""A topic's partitions can't be changed later, and no more workers than partitions can help."""
CACHED_DAYS: Final = 2
"""What is asked often is that new."""
BUSY_SHARE: Final = 0.5
"""Of a machine's cores and memory that is planned for."""


@dataclass(frozen=True, slots=True)
class Community:
    """What is asked for. The defaults are the mission's own numbers, a day."""

    users: int = 10_000_000
    daily_users: int = 5_000_000
    posters: int = 1_000_000
    posts_each: float = 12.0
    """Of a poster; the four below are of a daily user."""
    likes_each: float = 10.0
    comments_each: float = 1.0
    retweets_each: float = 1.0
    follows_each: float = 0.4
    reads_each: float = 20.0
    image_share: float = 1.0
    """Of posts that have an image."""
    image_kb: float = 200.0
    profile_kb: float = 100.0
    """Of a user, with avatar and header."""
    followers: float = 200.0
    """Of a user, in the mean."""
    tail: float = 1.5
    """The exponent of a Pareto distribution of followers: the nearer to 1, the more have few."""
    merged_from: int = 10_000
    """Followers from which on an author's posts are merged when they are read."""
    retention_days: int = 365
    peak: float = 4.0
    """The busiest second, as a multiple of the average one."""
    replication: int = 3
    cores: int = 8
    """Of a machine, and the two below."""
    memory_gb: float = 64.0
    disk_tb: float = 4.0


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """What it takes. Rates are a second, sizes in bytes."""

    events_a_day: float
    events: float
    peak_events: float
    reads: float
    peak_reads: float
    deliveries: float
    """Entries of home timelines at the peak."""
    delivered_followers: float
    """Followers a post is delivered to, in the mean over authors below `merged_from`."""
    merged_authors: float
    """Authors whose posts are merged when they are read."""
    log_a_day: float
    log: float
    """Over the retention, as the three below."""
    topic: float
    views: float
    images: float
    images_a_day: float
    profile_images: float
    """There once, whatever the retention."""
    rings: float
    api_cores: float
    """At the peak, as the three below."""
    projector_cores: float
    image_cores: float
    workers: int
    partitions: int
    shards: int
    machines: int
    """For API processes, their home timelines, and images; those of the shards and of Kafka come
    on top."""
    mission_sum: float
    """Profiles and a day's images, as the mission adds them up."""


def plan_capacity(community: Community, measured: "MeasuredFigures") -> CapacityPlan:
    """The plan for a community, of processes as they were measured."""
    each = community.likes_each + community.comments_each + community.retweets_each
    posts = community.posters * community.posts_each
    actions = community.daily_users * (each + community.follows_each)
    reads_a_day = community.daily_users * community.reads_each
    events_a_day = posts + actions
    events, reads = events_a_day / SECONDS_A_DAY, reads_a_day / SECONDS_A_DAY
    peak_events, peak_reads = events * community.peak, reads * community.peak

    delivered, merged = _followers(community)
    active = community.daily_users / community.users
    entries = posts + community.daily_users * (community.comments_each + community.retweets_each)

    images_a_day = posts * community.image_share * (community.image_kb * KB + THUMBNAIL_BYTES)
    views_a_day = events_a_day * VIEW_BYTES
    views = views_a_day * community.retention_days
    requests = peak_events + peak_reads
    api_cores = requests * measured.api_core_seconds
    images = posts * community.image_share / SECONDS_A_DAY
    image_cores = images * community.peak * measured.image_core_seconds
    profile_images = community.users * community.profile_kb * KB
    rings = community.daily_users * RING_BYTES
    workers = max(1, math.ceil(2 * peak_events / measured.worker_events))  # to catch up
    return CapacityPlan(
        events_a_day=events_a_day,
        events=events,
        peak_events=peak_events,
        reads=reads,
        peak_reads=peak_reads,
        deliveries=entries / SECONDS_A_DAY * community.peak * delivered * active,
        delivered_followers=delivered,
        merged_authors=merged,
        log_a_day=events_a_day * LOG_BYTES,
        log=events_a_day * LOG_BYTES * community.retention_days,
        topic=events_a_day * TOPIC_BYTES * community.retention_days * community.replication,
        views=views,
        images=images_a_day * community.retention_days,
        images_a_day=images_a_day,
        profile_images=profile_images,
        rings=rings,
        api_cores=api_cores,
        projector_cores=requests * measured.projector_core_seconds,
        image_cores=image_cores,
        workers=workers,
        partitions=workers * PARTITIONS_A_WORKER,
        shards=_shards(community, views_a_day),
        machines=_machines(community, api_cores + image_cores, rings),
        mission_sum=profile_images + posts * community.image_share * community.image_kb * KB,
    )


def _followers(community: Community) -> tuple[float, float]:
    """The followers a post is delivered to in the mean, and how many authors have more than that
    is done for, of a Pareto distribution."""
    least = community.followers * (community.tail - 1) / community.tail
    above = least / max(least, float(community.merged_from))
    delivered = community.followers * (1 - above ** (community.tail - 1))
    return delivered, community.users * above**community.tail


def _shards(community: Community, views_a_day: float) -> int:
    """By disk for the retention, or by memory for what is new, whichever is more."""
    by_memory = views_a_day * CACHED_DAYS / (community.memory_gb * 1e9 * BUSY_SHARE)
    by_disk = views_a_day * community.retention_days / (community.disk_tb * 1e12)
    return max(1, math.ceil(max(by_memory, by_disk)))


def _machines(community: Community, cores: float, memory: float) -> int:
    """By cores, or by memory, whichever is more."""
    by_cores = cores / (community.cores * BUSY_SHARE)
    by_memory = memory / (community.memory_gb * 1e9 * BUSY_SHARE)
    return max(1, math.ceil(max(by_cores, by_memory)))
