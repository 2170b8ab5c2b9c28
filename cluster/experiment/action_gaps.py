"""Why the teacher's policy has to be made sharp: how far apart its q-values of the actions lie."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.experiment.blocks import Block, Grid, Sentence
from cluster.experiment.temperature import TEMPERATURES
from distill.chunks import ChunkDecoder
from distill.recorded_chunks import RecordingReader
from distill.recording import Recording

_MOST_TRANSITIONS = 50_000
_QUANTILES = (0.1, 0.5, 0.9)


def measure_gaps(recording: Path, games: Sequence[str]) -> list[dict[str, Any]]:
    """Return for every game quantiles of the gap between the two best actions, and how sharp each temperature makes it.

    Args:
        recording: folder of the teachers' labelled play.
        games: of it.

    Raises:
        RunError: if the recording is damaged.
    """
    return [{"game": game, **_sharpness(_labels(recording, game))} for game in games]


def _labels(folder: Path, game: str) -> npt.NDArray[np.float32]:
    """Return q-values [N, A] of a game's first recorded transitions."""
    reader, decoder = RecordingReader(Recording.open(folder), (game,)), ChunkDecoder()
    found: list[npt.NDArray[np.float32]] = []
    try:
        while sum(map(len, found)) < _MOST_TRANSITIONS and (stored := reader.read(game, 16)):
            found += [decoder.decode(chunk.data).q_values.copy() for chunk in stored]
    finally:
        reader.close()
    return np.concatenate(found)


def _sharpness(q_values: npt.NDArray[np.float32]) -> dict[str, Any]:
    ranked = np.sort(q_values.astype(np.float64), axis=1)
    gaps, widths = ranked[:, -1] - ranked[:, -2], ranked[:, -1] - ranked[:, 0]
    probabilities = {
        f"{tau:g}": float((1.0 / np.exp((ranked - ranked[:, -1:]) / tau).sum(axis=1)).mean()) for tau in TEMPERATURES
    }
    return {
        "transitions": len(q_values),
        "actions": int(q_values.shape[1]),
        "gap": {f"{quantile:g}": float(np.quantile(gaps, quantile)) for quantile in _QUANTILES},
        "width": float(np.median(widths)),
        "best_action": probabilities,
    }


def tell_gaps(measured: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return a table of the gaps, and of what each temperature leaves of the other actions."""
    rows = [
        (
            str(each["game"]),
            f"1 / {each['actions']} = {1.0 / each['actions']:.2f}",
            *(f"{each['gap'][f'{quantile:g}']:.4f}" for quantile in _QUANTILES),
            f"{each['width']:.3f}",
            *(f"{each['best_action'][f'{tau:g}']:.3f}" for tau in TEMPERATURES),
        )
        for each in measured
    ]
    head = (
        "game", "uniform policy", "gap, 10 %", "gap, median", "gap, 90 %", "best - worst, median",
        *(f"P(best), tau {tau:g}" for tau in TEMPERATURES),
    )  # fmt: skip
    return [
        Grid("The teachers' q-values: gap between the two best actions, and the best action's probability", head, rows),
        Sentence(
            "A temperature far above the gaps leaves a policy that is nearly uniform, which hides from the student"
            " which action is best; one far below them makes it the best action alone, as NLL does."
        ),
    ]
