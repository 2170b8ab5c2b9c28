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
    still = io.BytesIO()
    imageio.imwrite(still, frames[-1], extension=".png")  # pyright: ignore[reportUnknownMemberType] - settings have no types
    height, width = frames[-1].shape[:2]
    return Film(_url("video/mp4", data), _url("image/png", still.getvalue()), width, height)


def _pictures(path: Path) -> Generator[npt.NDArray[np.uint8]]:
    pictures = imageio.imiter(path, plugin="FFMPEG")  # pyright: ignore[reportUnknownMemberType] - the same
    return cast(Generator[npt.NDArray[np.uint8]], pictures)


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
