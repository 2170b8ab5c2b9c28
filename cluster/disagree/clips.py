"""Plays judged episodes again, with pictures, and cuts clips around their costliest states."""

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.pictured import PicturedGame
from actors.policy import Policy
from actors.video import FRAMES_PER_SECOND, film
from cluster.disagree.findings import Costly
from cluster.report.films import Film, data_url, png_url
from distill.errors import RunError

BEFORE, AFTER = 2 * FRAMES_PER_SECOND, 2 * FRAMES_PER_SECOND
"""Control steps that a clip shows."""
_HOLD = FRAMES_PER_SECOND
"""Pictures for which a clip stands still at the state itself."""
_TOLERANCE = 1e-3

Picture = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """A costly state as it can be seen.

    Attributes:
        state: which.
        film: around it; it stands still there.
        judged: [A], the teacher's q-values.
    """

    state: Costly
    film: Film
    judged: Vector


def clips(game: str, states: Sequence[Costly], teacher: Policy) -> Iterator[Clip]:
    """Yield a clip of every state, episode by episode.

    Raises:
        RunError: if an episode cannot be played again as it was, or ffmpeg fails.
    """
    by_episode: dict[int, list[Costly]] = defaultdict(list)
    for state in states:
        by_episode[state.episode.number].append(state)
    with tempfile.TemporaryDirectory(prefix="distill-") as folder, contextlib.closing(PicturedGame(game)) as pictured:
        for group in by_episode.values():
            yield from _of_episode(pictured, sorted(group, key=lambda state: state.step), teacher, Path(folder))


def _of_episode(pictured: PicturedGame, states: Sequence[Costly], teacher: Policy, folder: Path) -> Iterator[Clip]:
    episode = states[0].episode
    moment = pictured.reset(episode.seed)
    wanted = {state.step: state for state in states}
    judged: dict[int, Vector] = {}
    # No clip reaches further back than the pictures that are kept.
    pictures: dict[int, Picture] = {}
    open_states: list[Costly] = []
    for step in range(len(episode.taken) + 1):
        pictures[step] = moment.picture
        pictures.pop(step - BEFORE - AFTER - 1, None)
        if step in wanted:
            judged[step] = teacher(moment.observation)[0]
            _require_same(wanted[step], judged[step])
            open_states.append(wanted[step])
        ended = step == len(episode.taken)
        for state in [state for state in open_states if ended or step == state.step + AFTER]:
            open_states.remove(state)
            yield Clip(state, _film(pictures, state.step, folder), judged[state.step])
        if ended or (not open_states and step > states[-1].step):
            return
        moment = pictured.step(episode.taken[step : step + 1])


def _require_same(state: Costly, judged: Vector) -> None:
    found = float(judged.max() - judged[state.episode.chosen[state.step]])
    if abs(found - state.cost) > _TOLERANCE * max(1.0, abs(state.cost)):
        raise RunError(
            f"clip of {state.episode.game}: expected a cost of {state.cost:.4f} in step {state.step} of episode"
            f" {state.episode.number}, found {found:.4f} when it was played again; its emulator is not deterministic"
        )


def _film(pictures: dict[int, Picture], step: int, folder: Path) -> Film:
    path = folder / "clip.mp4"
    with film(path, scale=1) as add:
        for number in range(step - BEFORE, step + AFTER + 1):
            if number in pictures:
                for _ in range(_HOLD if number == step else 1):
                    add(pictures[number])
    height, width = pictures[step].shape[:2]
    return Film(data_url("video/mp4", path.read_bytes()), png_url(pictures[step]), width, height)
