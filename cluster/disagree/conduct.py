"""Lets a student play, its teachers judge, and puts the page together."""

from collections.abc import Callable, Mapping
from pathlib import Path

from actors.judged_episode import JudgedEpisode, judged_episodes
from actors.policy import warm_policy
from cluster.disagree.clips import Clip, clips
from cluster.disagree.findings import GameFindings, find
from cluster.disagree.page import document
from distill.inference import load_q_function


def disagreements(
    student: Path,
    teachers: Mapping[str, Path],
    *,
    episodes: int,
    states: int,
    epsilon: float,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[str, list[str]]:
    """Return the page as HTML, and one line a game of what was found.

    Args:
        student: its model file.
        teachers: who judges, by game.
        episodes: per game.
        states: per game to show.
        epsilon: share of random actions.
        seed: of emulators and random actions.
        tell: is told how far it is.

    Raises:
        DistillError: if a model cannot be read or played.
    """
    q_function, _ = load_q_function(student)
    findings: list[GameFindings] = []
    found_clips: dict[str, list[Clip]] = {}
    for game, path in teachers.items():
        judge, plays = warm_policy(load_q_function(path)[0], game), warm_policy(q_function, game)
        played: list[JudgedEpisode] = []
        tell(f"{game}: episode 1 of {episodes}")
        for episode in judged_episodes(game, plays, judge, episodes=episodes, epsilon=epsilon, seed=seed):
            if episode is not None:
                played.append(episode)
                tell(f"{game}: {len(played)} of {episodes} episodes")
        found = find(game, played, states)
        findings.append(found)
        tell(f"{game}: cutting clips")
        found_clips[game] = sorted(clips(game, found.costly, judge), key=lambda clip: found.costly.index(clip.state))
    lines = [_line(found) for found in findings]
    return document(student.name, findings, found_clips, epsilon), lines


def _line(found: GameFindings) -> str:
    same = f"{found.game}: same choice in {1.0 - found.differing / found.steps:.1%} of {found.steps:,} steps"
    if not found.costly:
        return same
    return f"{same}, {1000.0 * found.cost / found.steps:.2f} given away per 1,000, {found.costly[0].cost:.3f} at most"
