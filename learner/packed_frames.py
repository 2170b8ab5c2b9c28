"""Frames compressed, in main memory: short zstd blocks, each decompressed when one of its steps is sampled.

The frames of a chunk are one zstd column on the wire, and a draw needs four of them. To decompress all 131 for these,
110 to 220 microseconds, would take a third of a learner's time. So a chunk's frames are packed anew when it arrives, in
blocks of `BLOCK_STEPS` steps, which take 10 to 30. The three frames before a block's first step are in it too, so that
every step's four lie in one block.

Nothing that was decompressed is kept beyond a minibatch: draws are uniform over all transitions, so a cache would be
hit as seldom as its share of them is small.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
import zstandard

from distill.chunks import PREFIX, ZSTD_LEVEL
from distill.games import FRAME_SHAPE, OBSERVATION_SHAPE, STACK

BLOCK_STEPS = 16
"""Longer blocks take less memory, shorter ones less time: see `distill bench --only compressed`."""


class PackedFrames:
    """Frames of one game's chunks as zstd blocks.

    Blocks are numbered in order of arrival; the place of step s of block b is b * BLOCK_STEPS + s.

    Args:
        most_frames: the most frames held; whoever appends drops the oldest chunk first.
        device: where minibatches go.
        threads: that decompress at the same time; zstd does without Python's lock.
    """

    def __init__(self, most_frames: int, device: torch.device, threads: int = 1) -> None:
        self._device = device
        self._pool = ThreadPoolExecutor(threads, "decompress")
        # A chunk of T + 3 frames has at most a quarter as many blocks.
        self._blocks = [b""] * (most_frames // STACK + 1)
        self._first = 0
        self._next = 0
        # A context belongs to one thread: this one to the feed's, the others each to one that decompresses.
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._decompressors = [zstandard.ZstdDecompressor() for _ in range(threads)]

    @property
    def size(self) -> int:
        """Bytes of the blocks that are held."""
        return sum(map(len, self._blocks))

    def pack(self, frames: npt.NDArray[np.uint8]) -> list[bytes]:
        """Return [T + 3, 84, 84] frames of a chunk as they are kept, block by block."""
        starts = range(0, len(frames) - PREFIX, BLOCK_STEPS)
        parts = (np.ascontiguousarray(frames[start : start + BLOCK_STEPS + PREFIX]) for start in starts)
        # What zstandard returns holds on to all the room that might have been needed, so it is copied.
        return [bytes(memoryview(self._compressor.compress(part.data))) for part in parts]

    def append(self, packed: list[bytes]) -> int:
        """Take a chunk's blocks in; return the place of its first step, after which the others' follow."""
        first = self._next
        for block in packed:
            self._blocks[self._next % len(self._blocks)] = block
            self._next += 1
        return first * BLOCK_STEPS

    def drop(self, steps: int) -> None:
        """Forget the oldest chunk, of that many steps."""
        for _ in range(-(-steps // BLOCK_STEPS)):
            self._blocks[self._first % len(self._blocks)] = b""
            self._first += 1

    def gather(self, places: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
        """Return the observations [B, 4, 84, 84] uint8 of steps at [B] places and of [B] ages."""
        gathered = torch.empty(
            (len(places), *OBSERVATION_SHAPE), dtype=torch.uint8, pin_memory=self._device.type == "cuda"
        )
        observations: npt.NDArray[np.uint8] = gathered.numpy()
        blocks, steps = np.divmod(places.cpu().numpy(), BLOCK_STEPS)
        block_of: list[int] = blocks.tolist()

        def fill(decompressor: zstandard.ZstdDecompressor, rows: npt.NDArray[np.int64]) -> None:
            for block, same in itertools.groupby(rows.tolist(), key=block_of.__getitem__):
                raw = decompressor.decompress(self._blocks[block % len(self._blocks)])
                frames = np.frombuffer(raw, np.uint8).reshape(-1, *FRAME_SHAPE)
                for row in same:
                    observations[row] = frames[steps[row] : steps[row] + STACK]

        # Draws of one block follow one another: it is decompressed once, and is still in the processor's cache.
        parts = np.array_split(np.argsort(blocks), len(self._decompressors))
        if len(parts) == 1:
            fill(self._decompressors[0], parts[0])
        else:
            list(self._pool.map(fill, self._decompressors, parts))
        missing = PREFIX - ages.cpu().numpy()
        for row in np.flatnonzero(missing):
            observations[row, : missing[row]] = 0
        return gathered.to(self._device, non_blocking=True)
