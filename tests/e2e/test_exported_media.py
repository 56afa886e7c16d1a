"""Images in a data folder: served from there, exported, restored and backed up with the log."""

import asyncio
import hashlib
import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.media.media_library import MediaLibrary
from commands.post import CreatePost
from commands.request import CommandRequest
from commands.user import ChangeProfile, Register
from infra.cli.main import main
from infra.files.media_folder import MediaFolder
from infra.images.image_workers import ImageWorkers
from infra.settings import Settings
from infra.wiring.media_store import open_media_store
from infra.wiring.write_side import open_write_side
from tests.support.media import image_bytes


async def make_world(data: Path) -> list[str]:
    """A log in which a post shows an image, a profile another, and nothing a third; their ids."""
    settings = Settings(data=data)
    with open_write_side(settings) as side:
        async with aclosing(ImageWorkers(1)) as workers:
            library = MediaLibrary(
                open_media_store(settings), side.media_records, workers, side.clock_ms
            )
            ada = (await side.handler.handle(CommandRequest(Register("ada", "Ada"), 0))).id
            media = [await library.upload(ada, image_bytes(seed), "") for seed in range(3)]
        ids = [medium.id for medium in media]
        uploads = await library.find_uploads(ada, ids)
        for command in (CreatePost("x", media=(ids[0],)), ChangeProfile(avatar=ids[1])):
            await side.handler.handle(CommandRequest(command, ada, uploads=uploads))
    return ids


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    data = tmp_path_factory.mktemp("media") / "data"
    return data, asyncio.run(make_world(data))


def run(*arguments: str | Path) -> str:
    """What a command of the program writes to stderr."""
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.stderr


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_an_export_takes_along_what_it_shows_and_a_restore_puts_it_back(
    world: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data, ids = world
    events, copy = tmp_path / "events.jsonl", tmp_path / "copy"
    assert "2 images copied" in run("replay", "--data", data, "-o", events, "--with-media")
    assert names_in(tmp_path / "events.jsonl.media") == set(ids[:2])
    assert "0 images copied" in run("replay", "--data", data, "-o", events, "--with-media")
    assert "2 images restored" in run("restore", events, "--data", copy)
    for id in ids[:2]:
        for name in (id, f"{id}-thumbnail"):
            kept, restored = (MediaFolder(where / "media").path_of(name) for where in (data, copy))
            assert restored.read_bytes() == kept.read_bytes()


def test_an_export_says_how_many_images_are_no_longer_kept(
    world: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data, ids = world
    copy = shutil.copytree(data, tmp_path / "copy")
    MediaFolder(copy / "media").path_of(ids[0]).unlink()
    said = run("replay", "--data", copy, "-o", tmp_path / "events.jsonl", "--with-media")
    assert "1 image copied" in said
    assert "; no longer kept: 1" in said


def test_an_export_of_some_events_takes_the_images_of_these(
    world: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data, ids = world
    for type, shown in (("profile-changed", {ids[1]}), ("post-created", {ids[0]})):
        out = tmp_path / f"{type}.csv"
        run("replay", "--data", data, "--type", type, "--format", "csv", "-o", out, "--with-media")
        assert names_in(tmp_path / f"{out.name}.media") == shown


@pytest.mark.parametrize("wrong", ["damaged", "no image"])
def test_a_file_that_is_not_the_image_it_should_be_is_not_restored(
    wrong: str, world: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data, _ = world
    events = tmp_path / "events.jsonl"
    run("replay", "--data", data, "-o", events, "--with-media")
    folder = tmp_path / "events.jsonl.media"
    if wrong == "damaged":
        next(path for path in folder.rglob("*") if path.is_file()).write_bytes(b"<script>")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / hashlib.sha256(b"<script>").hexdigest()).write_bytes(b"<script>")
    done = CliRunner().invoke(main, ["restore", str(events), "--data", str(tmp_path / "copy")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert names_in(tmp_path / "copy" / "media") <= set(world[1]) | {
        f"{id}-thumbnail" for id in world[1]
    }


def test_a_backup_has_the_images_and_their_records(
    world: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data, ids = world
    (MediaFolder(data / "media").path_of(ids[0]).parent / ".half.1-1.new").write_bytes(b"half")
    run("backup", tmp_path / "backup", "--data", data)
    run("restore-backup", tmp_path / "backup", "--data", tmp_path / "copy")
    assert names_in(tmp_path / "copy" / "media") == {
        name for id in ids for name in (id, f"{id}-thumbnail")
    }
    assert (tmp_path / "copy" / "media.sqlite").is_file()


def test_images_that_are_elsewhere_are_said_to_be_in_no_backup(
    world: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARLING_MEDIA", "s3://media?endpoint=http://127.0.0.1:1")
    said = run("backup", tmp_path / "backup", "--data", world[0])
    assert "the images are in s3://media" in said


def test_media_go_beside_a_file_alone(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["replay", "--with-media", "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert "-o" in done.stderr
