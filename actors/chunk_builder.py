"""Gathers the steps of N lanes column by column until a lane has a chunk's worth. Copies every frame once."""

import numpy as np
import numpy.typing as npt

from distill.chunks import PREFIX, Chunk, ChunkHeader
from distill.games import FRAME_SHAPE


class ChunkBuilder:
    """Column buffers of N lanes, T steps each.

    Args:
        run_id: random id of the run.
        game: ROM name.
        producer: name of the producing actor.
        producer_id: random id of this process of it.
        lanes: N.
        steps: T, steps per chunk.
        actions: A of the game.
    """

    def __init__(
        self, run_id: str, game: str, producer: str, producer_id: str, lanes: int, steps: int, actions: int
    ) -> None:
        self._run_id, self._game, self._producer, self._producer_id = run_id, game, producer, producer_id
        self._steps = steps
        self._actions = actions
        self._sequence = 0
        self._filled = np.zeros(lanes, np.int64)
        self._first_age = np.zeros(lanes, np.int64)
        # A lane's chunk names the versions of its first step: what it says is never newer than a step of it.
        self._versions = np.zeros((2, lanes), np.int64)
        self._frames = np.zeros((lanes, steps + PREFIX, *FRAME_SHAPE), np.uint8)
        self._q_values = np.zeros((lanes, steps, actions), np.float32)
        self._taken = np.zeros((lanes, steps), np.uint8)
        self._rewards = np.zeros((lanes, steps), np.float32)
        self._flags = np.zeros((3, lanes, steps), np.bool_)
        self.teacher_version = 0
        self.driver_version = 0

    def add(
        self,
        lanes: npt.NDArray[np.int64],
        observations: npt.NDArray[np.uint8],
        ages: npt.NDArray[np.int64],
        q_values: npt.NDArray[np.float32],
        taken: npt.NDArray[np.int64],
        rewards: npt.NDArray[np.int32],
        flags: npt.NDArray[np.bool_],
    ) -> list[int]:
        """Append one step to some of the N lanes and return the lanes that are full, to be taken before the next step.

        Args:
            lanes: [L] the lanes that made a transition.
            observations: [N, 4, 84, 84] uint8, what the policy saw.
            ages: [N] steps since the episode's first observation.
            q_values: [N, A] float32 labels.
            taken: [N] actions.
            rewards: [N] raw.
            flags: [3, N] bool: terminated, truncated, life lost.
        """
        at = self._filled[lanes]
        fresh = lanes[at == 0]
        if len(fresh):
            self._frames[fresh, :PREFIX] = observations[fresh, :PREFIX]
            self._first_age[fresh] = np.minimum(ages[fresh], PREFIX)
            self._versions[:, fresh] = [[self.teacher_version], [self.driver_version]]
        self._frames[lanes, at + PREFIX] = observations[lanes, PREFIX]
        self._q_values[lanes, at] = q_values[lanes]
        self._taken[lanes, at] = taken[lanes]
        self._rewards[lanes, at] = rewards[lanes]
        self._flags[:, lanes, at] = flags[:, lanes]
        self._filled[lanes] = at + 1
        return [int(lane) for lane in lanes[at + 1 == self._steps]]

    def partial_lanes(self) -> list[int]:
        """Return the lanes that hold at least one step."""
        return [int(lane) for lane in np.flatnonzero(self._filled)]

    def take(self, lane: int) -> Chunk:
        """Return a lane's steps as a chunk and empty the lane; its columns are views, valid until the next step."""
        steps = int(self._filled[lane])
        header = ChunkHeader(
            run_id=self._run_id,
            game=self._game,
            producer=self._producer,
            producer_id=self._producer_id,
            sequence=self._sequence,
            teacher_version=int(self._versions[0, lane]),
            driver_version=int(self._versions[1, lane]),
            steps=steps,
            actions=self._actions,
            first_age=int(self._first_age[lane]),
        )
        self._sequence += 1
        self._filled[lane] = 0
        terminated, truncated, life_lost = self._flags[:, lane, :steps]
        return Chunk(
            header=header,
            frames=self._frames[lane, : steps + PREFIX],
            q_values=self._q_values[lane, :steps],
            taken=self._taken[lane, :steps],
            rewards=self._rewards[lane, :steps],
            terminated=terminated,
            truncated=truncated,
            life_lost=life_lost,
        )
