"""Reads the films of a run so that a page can hold them."""

import base64
import io
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import imageio.v3 as imageio
import numpy as np
import numpy.typing as npt

from distill.errors import RunError

_STILL = 45
"""The frame that stands for a film: after 3 s play has begun in every game."""


@dataclass(frozen=True)
class Film:
    """A film as data URLs.

    Attributes:
        video: the MP4.
        still: one frame of it as PNG.
        width: in pixels.
        height: in pixels.
    """

    video: str
    still: str
    width: int
    height: int


def read_film(path: Path) -> Film:
    """Return a film with a still.

    Raises:
        RunError: if the file is no film that can be shown.
    """
    try:
        data = path.read_bytes()
        # Closing it ends its ffmpeg process, most of the film unread.
        with closing(_pictures(path)) as pictures:
            frames = list(islice(pictures, _STILL))
    except OSError as error:
        raise RunError(f"{path}: expected an MP4 film: {str(error).partition(chr(10))[0]}") from error
    if data[4:8] != b"ftyp" or not frames:
        raise RunError(f"{path}: expected an MP4 film with frames, found {data[:12]!r}")
    height, width = frames[-1].shape[:2]
    return Film(data_url("video/mp4", data), png_url(frames[-1]), width, height)


def png_url(picture: npt.NDArray[np.uint8]) -> str:
    """Return a picture [H, W, 3] as the data URL of a PNG."""
    file = io.BytesIO()
    imageio.imwrite(file, picture, extension=".png")  # pyright: ignore[reportUnknownMemberType] - settings have no types
    return data_url("image/png", file.getvalue())


def data_url(kind: str, data: bytes) -> str:
    """Return bytes of a media type as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _pictures(path: Path) -> Generator[npt.NDArray[np.uint8]]:
    pictures = imageio.imiter(path, plugin="FFMPEG")  # pyright: ignore[reportUnknownMemberType] - the same
    return cast(Generator[npt.NDArray[np.uint8]], pictures)
