"""The files of images, wherever they are kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from api.media.errors import MediaUnavailable
from api.media.media_store import MediaStore
from infra.files.media_folder import MediaFolder
from tests.support.media import MediaInMemory

NAME = "ab" * 32


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A server that speaks S3, with a bucket `media`."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    httpx.put(f"{address}/media", trust_env=False).raise_for_status()
    yield address
    server.stop()


@pytest.fixture(params=["folder", "s3", "memory"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MediaStore]:
    if request.param == "memory":
        yield MediaInMemory()
    elif request.param == "folder":
        yield MediaFolder(tmp_path / "media")
    else:
        from infra.s3.media_bucket import MediaBucket

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        endpoint = request.getfixturevalue("s3_endpoint")
        opened = MediaBucket(f"s3://media/{tmp_path.name}?endpoint={endpoint}")
        yield opened
        await opened.delete([NAME, f"{NAME}-thumbnail"])


async def test_a_file_is_read_as_it_was_put(store: MediaStore) -> None:
    await store.put(NAME, b"bytes \x00\xff")
    await store.put(f"{NAME}-thumbnail", b"small")
    assert await store.read(NAME) == b"bytes \x00\xff"
    assert await store.read(f"{NAME}-thumbnail") == b"small"


async def test_putting_again_replaces(store: MediaStore) -> None:
    await store.put(NAME, b"one")
    await asyncio.gather(*(store.put(NAME, b"two") for _ in range(4)))
    assert await store.read(NAME) == b"two"


async def test_what_is_not_there_is_none(store: MediaStore) -> None:
    assert await store.read(NAME) is None


async def test_a_deleted_file_is_gone_and_deleting_again_is_no_error(store: MediaStore) -> None:
    await store.put(NAME, b"bytes")
    await store.put(f"{NAME}-thumbnail", b"small")
    await store.delete([NAME])
    assert await store.read(NAME) is None
    assert await store.read(f"{NAME}-thumbnail") == b"small"
    await store.delete([NAME, f"{NAME}-thumbnail"])
    assert await store.read(f"{NAME}-thumbnail") is None


async def test_a_large_file_comes_back(store: MediaStore) -> None:
    content = bytes(range(256)) * (5 << 12)
    await store.put(NAME, content)
    assert await store.read(NAME) == content


async def test_a_folder_holds_whole_files_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    await MediaFolder(folder).put(NAME, b"bytes")
    [file] = [path for path in folder.rglob("*") if path.is_file()]
    assert file.relative_to(folder) == Path("ab", "ab", NAME)
    assert file.stat().st_mode & 0o077 == 0


async def test_an_error_without_a_message_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from infra.s3.media_bucket import MediaBucket

    async def fail(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("obstore.put_async", fail)
    with pytest.raises(MediaUnavailable, match="TimeoutError"):
        await MediaBucket("s3://media").put(NAME, b"x")


async def test_a_store_that_does_not_answer_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.s3.media_bucket import MediaBucket

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    (tmp_path / "file").write_text("no folder")
    for broken in (
        MediaFolder(tmp_path / "file"),
        MediaBucket("s3://media?endpoint=http://127.0.0.1:1"),
    ):
        for call in (broken.put(NAME, b"x"), broken.read(NAME), broken.delete([NAME])):
            with pytest.raises(MediaUnavailable):
                await call
