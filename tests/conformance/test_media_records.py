"""Who uploaded what and what shows it, wherever that is recorded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from api.media.errors import MediaUnavailable, TooManyUploads
from api.media.media_records import MediaHidden, MediaRecords, MediaShown, OwnerLeft, Upload
from events.schema import Medium
from infra.sqlite.media_records import CLAIM_MS, SqliteMediaRecords

ADA, BOB = 7, 8
X, Y = "aa" * 32, "bb" * 32
NOW = 1_700_000_000_000

Open = Callable[[], MediaRecords]
"""Opens the same records once more, as another process would."""


def upload(owner: int, id: str, ms: int = NOW, alt: str = "") -> Upload:
    return Upload(owner, Medium(id, "image/png", 4, 3, "L7E", alt), ms)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def open_records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "sqlite":
        yield lambda: SqliteMediaRecords(tmp_path / "media.sqlite")
        return
    from infra.mongodb.media_records import MongoMediaRecords
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        yield lambda: MongoMediaRecords(opened.blocking)


@pytest.fixture
async def records(open_records: Open) -> AsyncIterator[MediaRecords]:
    opened = open_records()
    yield opened
    opened.close()


async def test_an_upload_is_its_owners_for_a_time(records: MediaRecords) -> None:
    assert await records.add_upload(upload(ADA, X, alt="an owl"), 5)
    assert await records.find_uploads(ADA, [X, Y], NOW) == [upload(ADA, X, alt="an owl")]
    assert await records.find_uploads(BOB, [X], NOW) == []
    assert await records.find_uploads(ADA, [X], NOW + 1) == []


async def test_an_upload_of_the_same_image_replaces_the_owners_first(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X, alt="one"), 5)
    await records.mark_shown(ADA, [X])
    assert await records.find_uploads(ADA, [X], 0) == []
    await records.add_upload(upload(ADA, X, NOW + 5, alt="two"), 5)
    assert await records.find_uploads(ADA, [X], 0) == [upload(ADA, X, NOW + 5, alt="two")]


async def test_an_owner_has_a_bounded_number_of_uploads(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X), 1)
    await records.add_upload(upload(ADA, X), 1)
    with pytest.raises(TooManyUploads):
        await records.add_upload(upload(ADA, Y), 1)
    await records.add_upload(upload(BOB, Y), 1)
    await records.mark_shown(ADA, [X])
    await records.add_upload(upload(ADA, Y), 1)


async def test_what_is_uploaded_or_shown_is_not_unused(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X), 5)
    assert await records.claim_unused(NOW) == []
    assert await records.follow([MediaShown("post-1", X, ADA, NOW)], 0, 10)
    assert await records.find_uploads(ADA, [X], 0) == []
    assert await records.claim_unused(NOW) == []
    assert await records.follow([MediaShown("post-2", X, BOB, NOW)], 10, 20)
    assert await records.follow([MediaHidden("post-1")], 20, 30)
    assert await records.claim_unused(NOW) == []
    assert await records.follow([MediaHidden("post-2")], 30, 40)
    assert await records.claim_unused(NOW) == [X]


async def test_a_later_upload_of_an_image_outlives_its_earlier_use(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X, NOW + 1), 5)
    await records.follow([MediaShown("post-1", X, ADA, NOW)], 0, 10)
    assert await records.find_uploads(ADA, [X], 0) == [upload(ADA, X, NOW + 1)]


async def test_uses_follow_the_log_once_and_in_order(
    records: MediaRecords, open_records: Open
) -> None:
    other = open_records()
    shown = [MediaShown("post-1", X, ADA, NOW)]
    assert await records.followed_through() == 0
    assert await records.follow(shown, 0, 10)
    assert await other.followed_through() == 10
    assert await other.follow([MediaHidden("post-1")], 10, 20)
    assert not await records.follow(shown, 0, 10), "it would show again what was deleted"
    assert await records.claim_unused(NOW) == [X]
    other.close()


async def test_an_account_that_left_uploads_and_shows_nothing(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X), 5)
    await records.follow(
        [MediaShown("avatar-7", Y, ADA, NOW), MediaShown("post-1", Y, BOB, NOW), OwnerLeft(ADA)],
        0,
        10,
    )
    assert await records.find_uploads(ADA, [X], 0) == []
    assert await records.claim_unused(NOW) == [X]


async def test_old_uploads_expire(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X), 5)
    await records.add_upload(upload(ADA, Y, NOW + 1), 5)
    await records.expire_uploads(NOW + 1)
    assert await records.claim_unused(NOW) == [X]


async def test_one_process_at_a_time_removes_an_image_and_no_other_uploads_it(
    records: MediaRecords, open_records: Open
) -> None:
    other = open_records()
    await records.add_upload(upload(ADA, X), 5)
    await records.expire_uploads(NOW + 1)
    claims = await asyncio.gather(records.claim_unused(NOW), other.claim_unused(NOW))
    assert sorted(map(len, claims)) == [0, 1]
    assert not await other.add_upload(upload(BOB, X), 5)
    assert await other.add_upload(upload(BOB, Y), 5)
    await records.forget([X])
    assert await other.add_upload(upload(BOB, X), 5)
    other.close()


async def test_a_claim_whose_process_died_is_taken_over(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X), 5)
    await records.expire_uploads(NOW + 1)
    assert await records.claim_unused(NOW) == [X]
    assert await records.claim_unused(NOW + CLAIM_MS) == []
    assert await records.claim_unused(NOW + CLAIM_MS + 1) == [X]


async def test_an_upload_that_came_before_the_claim_keeps_its_image(records: MediaRecords) -> None:
    await records.add_upload(upload(ADA, X), 5)
    await records.expire_uploads(NOW + 1)
    await records.add_upload(upload(BOB, X), 5)
    assert await records.claim_unused(NOW) == []
    await records.expire_uploads(NOW + 1)
    assert await records.claim_unused(NOW) == [X]


async def test_uses_can_follow_another_log(records: MediaRecords) -> None:
    await records.follow(
        [MediaShown("post-1", X, ADA, NOW), MediaShown("post-1", Y, ADA, NOW)], 0, 10
    )
    await records.restart()
    assert await records.followed_through() == 0
    await records.follow([MediaShown("post-1", Y, ADA, NOW)], 0, 5)
    assert await records.claim_unused(NOW) == [X]


async def test_closed_records_are_unavailable(open_records: Open) -> None:
    opened = open_records()
    opened.close()
    with pytest.raises(MediaUnavailable):
        await opened.followed_through()


async def test_what_an_image_shows_is_gone_from_the_file(tmp_path: Path) -> None:
    opened = SqliteMediaRecords(tmp_path / "media.sqlite")
    await opened.add_upload(upload(ADA, X, alt="my secret garden"), 5)
    assert b"garden" in content_of(tmp_path)
    await opened.follow([OwnerLeft(ADA)], 0, 10)
    assert b"garden" not in content_of(tmp_path)
    await opened.add_upload(upload(ADA, X, NOW, alt="my secret garden"), 5)
    await opened.follow([MediaShown("post-1", X, ADA, NOW)], 10, 20)
    assert b"garden" not in content_of(tmp_path), "the log has it, sealed"
    opened.close()


def content_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())
