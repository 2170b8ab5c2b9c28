"""The kinds of cells that experiments are made of, with the settings that all of them share."""

from typing import Any

from cluster.experiment.design import Cell, Design, WantedRecording

BATCH_SIZE = 32
_MOST_LANES = 8
_ALIKE: dict[str, Any] = {
    # As many cells run at once as there are cores, so each is one process with one thread.
    "serial": True,
    "learner_threads": 1,
    "video": False,
}
"""Settings of every cell."""
_STUDENT: dict[str, Any] = _ALIKE | {
    # A budget of hours instead of weeks needs a rate that falls; it is the same for all that is compared.
    "optimizer": "adamw",
    "learning_rate": 5e-4,
    "schedule": "cosine",
    "batch_size": BATCH_SIZE,
    # The last version is the result: chosen by score among several, it would flatter who varies most.
    "eval_episodes": 1,
}
_MOST_WINDOW = 20_000.0
_LEAST_REPLAY, _MOST_REPLAY = 2_048, 540_000
"""Transitions of a game: the least that a run takes, and the paper's ten hours of play."""
_SURPLUS = 2_048


def student(
    design: Design,
    variant: str,
    games: tuple[str, ...],
    seed: int,
    *,
    transitions: int | None = None,
    **settings: Any,
) -> Cell:
    """Return a cell that distils the teachers' recorded play; every game gets as many updates as a single one would.

    Args:
        design: of the experiment.
        variant: key of what is compared.
        games: of the student.
        seed: of student and recordings.
        transitions: recorded per game; the budget's if None.
        settings: in which the variant differs.
    """
    recorded = design.budget.transitions if transitions is None else transitions
    common = _students(design, len(games)) | _recorded(design, recorded)
    return Cell(variant, games, seed, "run", common | settings, WantedRecording(design.games, seed, recorded))


def live_student(design: Design, variant: str, game: str, seed: int, **settings: Any) -> Cell:
    """Return a cell whose data is played while it learns, as many transitions as a recording would have."""
    budget = design.budget
    ratio = budget.updates * BATCH_SIZE / budget.transitions
    # Neither side may run ahead by more than a small part of the budget, or the transitions would not be equal.
    played: dict[str, Any] = {
        "sample_to_insert": ratio,
        "sample_to_insert_window": max(_MOST_WINDOW, 256.0 * ratio),
        "min_replay": max(1, min(5_000, budget.transitions // 4)),
    }
    return Cell(variant, (game,), seed, "run", _students(design, 1) | played | settings)


def q_learner(design: Design, variant: str, games: tuple[str, ...], seed: int, network: str) -> Cell:
    """Return a cell that trains a network by DQN on as many steps of each game as a recording has."""
    steps = design.budget.transitions
    settings: dict[str, Any] = _ALIKE | _played(design) | _explored(steps) | {
        "network": network,
        "steps": steps,
        "candidate_steps": steps,
        "look_episodes": 2,
        "most_episodes": 2,
        "best_episodes": 2,
    }  # fmt: skip
    return Cell(variant, games, seed, "teach", settings)


def online_student(design: Design, variant: str, game: str, seed: int) -> Cell:
    """Return a cell with a Q-learner and a student that distils it all the while; both leave some twenty versions."""
    steps = design.budget.transitions
    versions = max(1, steps // 20)
    settings: dict[str, Any] = _ALIKE | _played(design) | _explored(steps) | {
        "steps": steps,
        "student": "net1",
        "candidate_steps": versions,
        # At 2.4 samples a step in minibatches of 32, a version of each comes at the same time.
        "sample_to_insert": 2.4,
        "eval_every": max(1, round(versions * 2.4 / BATCH_SIZE)),
        "rule": "new-high",
        "look_episodes": 4,
        "most_episodes": 4,
        "best_episodes": 8,
        "curve_episodes": 16,
        # The paper's Q-learner is unsteady: candidates are its newest weights, and there is no Double DQN.
        "q_average": 0.0,
        "double_q": False,
    }  # fmt: skip
    return Cell(variant, (game,), seed, "online", settings)


def _students(design: Design, games: int) -> dict[str, Any]:
    updates = design.budget.updates * games
    common = _STUDENT | _played(design)
    return common | {"updates": updates, "eval_every": updates, "warmup_updates": min(500, updates // 10)}


def _recorded(design: Design, transitions: int) -> dict[str, Any]:
    """Return how a recording is learned from: all of it lies in the replay before the first update, if it can."""
    if transitions > _MOST_REPLAY:
        return {"sample_to_insert": design.budget.updates * BATCH_SIZE / transitions}
    # A recording may have some more, up to a chunk of every lane.
    return {"min_replay": transitions, "replay_capacity": max(_LEAST_REPLAY, transitions + _SURPLUS)}


def _played(design: Design) -> dict[str, Any]:
    return {"final_episodes": design.episodes, "eval_lanes": min(_MOST_LANES, design.episodes)}


def _explored(steps: int) -> dict[str, Any]:
    return {"epsilon_steps": max(1, min(100_000, steps // 4)), "min_replay": max(1, min(20_000, steps // 10))}
