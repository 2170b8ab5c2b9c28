"""One run with Q-learners from beginning to end: folder, Redis, Ray, training, last evaluation, teacher files."""

import json
from pathlib import Path

from rich.console import Console

from actors.evaluation import Evaluation, EvaluationTask
from cluster.monitor.online_view import OnlineView
from cluster.run.after_training import play_last_half
from cluster.run.drive import trained
from cluster.run.online_results import write_outcome
from cluster.run.surroundings import Sitting, open_sitting, require_same, require_surroundings
from cluster.state.folder import ENVIRONMENT, RunFolder, new_run, open_run
from cluster.state.online_session import OnlineSession
from cluster.workers.online_on_ray import OnlineBackend
from cluster.workers.placement import place
from cluster.workers.wanted_actors import ActorCounts
from distill.errors import ConfigError, RunError
from distill.games import SeedStream, action_count, reset_seed
from distill.model_card import read_card
from distill.teach_config import OnlineConfig, TeachConfig
from learner.q_trainer import require_initial

FIXED_SETTINGS = ("name", "root", "games", "network", "n_step", "discount", "clip_rewards", "life_loss_ends",
                  "q_optimizer")  # fmt: skip
"""What a run cannot change when it is resumed."""
FIXED_WITH_STUDENT = ("student", "optimizer", "labels")
ROLES = ("explorer", "learner", "evaluator", "coordinator")


def start_online(config: TeachConfig, console: Console) -> RunFolder:
    """Make a new run and see it through, or until it is asked to stop.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    if not config.general.games:
        raise ConfigError(f"games: name one or more, as in `distill {config.command} --game pong`")
    if config.general.initial is not None:
        card, games = read_card(config.general.initial), config.general.games
        for line in [(game,) for game in games] if isinstance(config, OnlineConfig) else [games]:
            require_initial(card, config.q_learner, {game: action_count(game) for game in line})
    require_surroundings(config, config.general.games)
    folder = new_run(config, list(config.general.games))
    _run(config, folder, console)
    return folder


def resume_online(path: Path, config: TeachConfig, console: Console) -> RunFolder:
    """Go on with a run from its newest checkpoints.

    Args:
        path: the run's folder.
        config: its configuration, with whatever the user changed.
        console: where to draw.

    Raises:
        DistillError: with what is wrong and what to do.
    """
    folder, before = open_run(type(config), path)
    with_student = FIXED_WITH_STUDENT if isinstance(config, OnlineConfig) else ()
    require_same(folder, before, config, (*FIXED_SETTINGS, *with_student))
    require_surroundings(config, config.general.games)
    with folder.claim():
        folder.write_config(config, folder.name, list(config.general.games), folder.path.parent)
    _run(config, folder, console)
    return folder


def _run(config: TeachConfig, folder: RunFolder, console: Console) -> None:
    games = config.general.games
    with_student = isinstance(config, OnlineConfig)
    learners = (len(games) if with_student else 1) + with_student
    counts = ActorCounts.of(folder, config, games)
    others = sum(counts.wanted().values()) + 2  # evaluator and coordinator
    with open_sitting(folder, config, games, readers=1 + with_student) as sitting:
        placement = place(others, learners, config.training, sitting.cluster)
        session = OnlineSession(folder, config, sitting.services, sitting=sitting.number)
        commit = json.loads((folder.path / ENVIRONMENT).read_text())["git_commit"]
        backend = OnlineBackend(session, placement, counts, commit)
        _see_through(session, backend, sitting, console)


def _see_through(session: OnlineSession, backend: OnlineBackend, sitting: Sitting, console: Console) -> None:
    session.note(f"run {session.folder.name}: {', '.join(session.config.general.games)} in {session.folder.path}")
    evaluations: list[Evaluation] = []
    view, monitoring = OnlineView(session), session.config.monitoring
    with trained(session, backend, view, sitting, monitoring, ROLES, console):
        if session.done and not sitting.stop.requested:
            play_last_half(session, backend, sitting)
            evaluations = _final_evaluation(session, backend, sitting)
    if sitting.stop.requested:
        command = session.config.command
        console.print(f"stopped; go on with: distill {command} --resume {session.folder.path}", soft_wrap=True)
    else:
        write_outcome(session, evaluations, console)


def _final_evaluation(session: OnlineSession, backend: OnlineBackend, sitting: Sitting) -> list[Evaluation]:
    config = session.config.promotion
    if not config.final_episodes:
        return []
    session.note(f"final evaluation: {config.final_episodes} episodes per game of the best models")
    tasks: list[EvaluationTask] = []
    seed = reset_seed(session.config.general.seed, SeedStream.ONLINE_FINAL)
    for line in session.lines:
        registry = session.services.registry(line.name)
        version = registry.resolve("best")
        if version is None:
            raise RunError(f"run {session.folder.name}: no version of {line.name} was ever evaluated; train for longer")
        model, who = registry.fetch(version), "teacher" if line.who == "candidate" else line.who
        tasks += [
            EvaluationTask(
                who,
                game,
                version,
                model,
                config.final_episodes,
                config.eval_lanes,
                config.eval_epsilon,
                seed,
                line.name,
            )
            for game in line.games
        ]
    evaluations: list[Evaluation] = []
    for evaluation in sitting.over(backend.evaluate(tasks), session):
        if evaluation is not None:
            score = evaluation.score()
            session.note(f"{score.game}, {score.who}: mean {score.mean:.2f} of {score.episodes} episodes")
            evaluations.append(evaluation)
    return evaluations
