"""The store of images that the settings name."""

from pathlib import Path
from typing import TYPE_CHECKING

from infra.settings import InvalidSetting, Settings

if TYPE_CHECKING:
    from api.media.media_store import MediaStore


def open_media_store(settings: Settings) -> "MediaStore":
    """Where images are kept. Raises `InvalidSetting` where a package for that is missing."""
    where = settings.media or str(settings.data / "media")
    if not where.startswith("s3://"):
        from infra.files.media_folder import MediaFolder

        return MediaFolder(Path(where))
    try:
        from infra.s3.media_bucket import MediaBucket
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"STARLING_MEDIA names an S3 store, and the package {error.name} is missing: "
            "pip install 'starling-feed[s3]'"
        ) from error
    return MediaBucket(where)
