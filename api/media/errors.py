"""Why an image was not taken, or can't be shown."""


class MediaError(Exception):
    """The message says what to do.

    MediaError
      ImageRefused       it is no image that is taken; `code` is stable
      TooManyUploads     its owner uploads much and posts none of it
      ImagesBusy         too many images are being looked at: try again later
      MediaUnavailable   the store or the records can't be reached: try again later
    """


class ImageRefused(MediaError):
    """The bytes are no image that is taken."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TooManyUploads(MediaError):
    """The account has many images that no post shows."""


class ImagesBusy(MediaError):
    """As many images are being looked at as can be."""


class MediaUnavailable(MediaError):
    """The store of media or its records can't be reached now."""
