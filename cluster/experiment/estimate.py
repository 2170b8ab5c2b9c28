"""How long an experiment will take on this machine, from what this machine does in a few seconds."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from cluster.bench.bare import BareVariant, bare_collector, bare_learner
from cluster.bench.process import measure
from cluster.experiment.design import Cell, Design, WantedRecording
from learner.device import autocast_dtype

_SECONDS = 1.0
_START_SECONDS = 12.0
"""To start a process, its Redis, and to write results."""
_EPISODE_STEPS = 1_800
"""Control steps of an episode, roughly; games differ by a factor of two."""
_Q_FACTOR = 5.0 / 3.0
"""A Double DQN update makes two forward passes more than a student's."""


@dataclass
class Rates:
    """What one core of this machine does, and so how long cells take.

    Attributes:
        played: control steps a second of one process with a teacher.
        learned: samples a second of a student's updates, by architecture.
    """

    played: float
    learned: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def measure(cls, design: Design, cells: Iterable[Cell]) -> "Rates":
        """Measure on one core what the cells will do; takes a few seconds."""
        game = design.games[0]
        networks = sorted({network_of(cell) for cell in cells} | set(_second_networks(cells)))
        return cls(*measure(_measured, game, design.teachers[game].read_bytes(), networks, cores=_one_core()))

    def recording(self, recording: WantedRecording) -> float:
        """Return the seconds of a recording."""
        return _START_SECONDS + len(recording.games) * recording.transitions / self.played

    def cell(self, cell: Cell) -> float:
        """Return the seconds of a cell."""
        settings, games = cell.settings, len(cell.games)
        players = 2 if cell.command != "teach" else 1
        evaluated = players * games * settings["final_episodes"] * _EPISODE_STEPS / self.played
        network = self.learned[network_of(cell)]
        if cell.command == "run":
            learned = settings["updates"] * settings["batch_size"] / network
            ratio = settings.get("sample_to_insert")
            played = 0.0 if ratio is None else settings["updates"] * settings["batch_size"] / ratio / self.played
            return _START_SECONDS + evaluated + learned + played
        config = cast(Any, cell.config())
        steps = games * settings["steps"]
        learned = steps * config.q_learner.q_sample_to_insert * _Q_FACTOR / network
        if cell.command == "online":
            student = self.learned[settings["student"]]
            learned += steps * settings["sample_to_insert"] / student
            versions = settings["steps"] // settings["candidate_steps"]
            evaluated += (
                2
                * versions
                * (settings["look_episodes"] + settings["curve_episodes"] / 2)
                * (_EPISODE_STEPS / self.played)
            )
        return _START_SECONDS + evaluated + learned + steps / self.played


def network_of(cell: Cell) -> str:
    """Return the architecture that a cell's updates cost most for."""
    config = cast(Any, cell.config())
    return config.student.student if cell.command == "run" else config.q_learner.network


def _second_networks(cells: Iterable[Cell]) -> list[str]:
    return [cell.settings["student"] for cell in cells if cell.command == "online"]


def _one_core() -> set[int]:
    return {min(os.sched_getaffinity(0))}


def _measured(game: str, teacher: bytes, networks: Sequence[str]) -> tuple[float, dict[str, float]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    variant = BareVariant(True, autocast_dtype(torch.device(device), "auto") is not None)
    played = bare_collector(game, teacher, 16, _SECONDS)
    return played, {network: bare_learner(variant, network, 32, "adamw", device, _SECONDS) for network in networks}
