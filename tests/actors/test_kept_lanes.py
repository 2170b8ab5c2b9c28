"""Episodes on kept emulators are those on new ones, and not all are kept for ever."""

import numpy as np
import pytest

from actors import kept_lanes
from actors.evaluator import Evaluator
from actors.kept_lanes import KeptLanes
from distill.evaluation_protocols import DISTILL, PROTOCOLS, EvaluationProtocol
from distill.games import action_count

SHORT = {"max_frames": 160}


def played(game: str, protocol: EvaluationProtocol, lanes: int, seed: int, kept: KeptLanes | None) -> object:
    """Return the scores, lengths and last observations of an evaluation at random."""
    seen: list[bytes] = []

    def policy(observations: np.ndarray) -> np.ndarray:
        seen.append(observations.tobytes())
        return np.zeros((len(observations), action_count(game)), np.float32)

    evaluator = Evaluator(
        game,
        policy,
        who="student",
        version=1,
        episodes=2 * lanes,
        lanes=lanes,
        epsilon=1.0,
        seed=seed,
        protocol=protocol,
        kept=kept,
    )
    assert evaluator.advance()
    result = evaluator.result()
    return result.scores, result.lengths, seen


@pytest.mark.parametrize("name", ["distill", "machado", "sb3"])
def test_kept_emulators_play_what_new_ones_do(name: str) -> None:
    kept, protocol = KeptLanes(), PROTOCOLS[name].changed(SHORT)
    for game, lanes, seed in (("breakout", 2, 1), ("pong", 1, 1), ("breakout", 3, 2)):
        assert played(game, protocol, lanes, seed, kept) == played(game, protocol, lanes, seed, None)


def test_an_evaluation_that_is_given_up_leaves_nothing_behind() -> None:
    kept, protocol = KeptLanes(), DISTILL.changed(SHORT)
    lanes = kept.begun("breakout", protocol, (1, 2))
    for _ in range(7):
        for lane in lanes:
            lane.send(np.zeros(1, np.int64))
            lane.receive()
    assert played("breakout", protocol, 2, 5, kept) == played("breakout", protocol, 2, 5, None)


def test_emulators_of_games_that_were_not_played_for_long_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_lanes, "MOST_IDLE", 2)
    kept = KeptLanes()
    pong, breakout = (kept.begun(game, DISTILL, (1,))[0] for game in ("pong", "breakout"))
    sticky = DISTILL.changed({"sticky_actions": 0.25})
    assert kept.begun("pong", DISTILL, (2,)) == [pong]
    assert kept.begun("breakout", sticky, (3,)) != [breakout], "its emulator is another one"
    kept.begun("freeway", DISTILL, (4,))
    assert kept.begun("pong", DISTILL, (5,)) == [pong]
    assert kept.begun("breakout", DISTILL, (6,)) != [breakout]
