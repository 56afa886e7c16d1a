"""Media in a bucket of an S3-compatible store, by the package `obstore` (the extra `s3`).

The credentials are those of the standard variables (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`), so no address has a secret in it.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from api.media.errors import MediaUnavailable

_SECONDS: Final = 10
_METADATA_SERVICE: Final = "http://169.254.169.254/"


class BucketAddress(NamedTuple):
    """What `s3://bucket/prefix?endpoint=https://...&region=...` says; only the bucket must be."""

    bucket: str
    prefix: str | None
    endpoint: str | None
    region: str

    @classmethod
    def parse(cls, address: str) -> "BucketAddress":
        """The address in a checked setting."""
        parts = urlsplit(address)
        query = dict(parse_qsl(parts.query))
        prefix = parts.path.strip("/") or None
        return cls(parts.netloc, prefix, query.get("endpoint"), query.get("region", "us-east-1"))


class MediaBucket:
    """An `api.media.media_store.MediaStore`; any number of processes may use one bucket."""

    def __init__(self, address: str) -> None:
        """As the setting `media` has it."""
        bucket, prefix, endpoint, region = BucketAddress.parse(address)
        config = {"region": region} | ({"endpoint": endpoint} if endpoint else {})
        self._store = S3Store(
            bucket,
            prefix=prefix,
            config=config,  # type: ignore[arg-type]  # its keys are literals
            client_options={
                "timeout": timedelta(seconds=_SECONDS),
                "allow_http": endpoint is not None and endpoint.startswith("http://"),
            },
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=_SECONDS)},
        )

    async def put(self, name: str, content: bytes) -> None:
        try:
            await obstore.put_async(self._store, name, content)
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    async def read(self, name: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    async def delete(self, names: Collection[str]) -> None:
        try:
            await obstore.delete_async(self._store, list(names))
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> MediaUnavailable:
    lines = str(error).splitlines() or [type(error).__name__]
    if _METADATA_SERVICE in lines[0]:  # where obstore looks for a role when nothing else is set
        message = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return MediaUnavailable(f"the S3 store: {message} ({lines[0]})")
    return MediaUnavailable(f"the S3 store: {lines[0]}")
