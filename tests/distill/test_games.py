import ast
import itertools
from pathlib import Path
from typing import Any, cast

import ale_py
import gymnasium
import numpy as np
import pytest

from distill.errors import ConfigError
from distill.games import (
    MAX_ACTIONS,
    NOOP_MAX,
    OBSERVATION_SHAPE,
    SeedStream,
    action_count,
    action_meanings,
    known_games,
    load_rom,
    make_environment,
    reference_score,
    require_known,
    reset_seed,
)


def test_known_games_are_those_that_ale_py_registers_for_one_player() -> None:
    gymnasium.register_envs(ale_py)
    registered = {
        spec.kwargs["game"] for spec in gymnasium.registry.values() if str(spec.entry_point).startswith("ale_py")
    }
    assert set(known_games()) == registered
    assert list(known_games()) == sorted(known_games())


def test_a_two_player_rom_is_refused_before_the_emulator_ends_the_process() -> None:
    with pytest.raises(ConfigError, match="combat"):
        action_count("combat")


def test_the_table_holds_the_action_sets_of_ale() -> None:
    found = {
        game: tuple(action.name for action in cast(Any, load_rom(game)).getMinimalActionSet()) for game in known_games()
    }
    assert {game: action_meanings(game) for game in known_games()} == found


@pytest.mark.parametrize(
    ("game", "count"), [("pong", 6), ("breakout", 4), ("freeway", 3), ("enduro", 9), ("seaquest", 18), ("qbert", 6)]
)
def test_minimal_action_sets(game: str, count: int) -> None:
    assert action_count(game) == count <= MAX_ACTIONS
    assert action_meanings(game)[0] == "NOOP"


def test_an_unknown_game_names_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"'space_invader'.*did you mean space_invaders"):
        require_known("space_invader")


def test_reference_scores() -> None:
    pong = reference_score("pong")
    assert pong is not None
    assert (pong.random, pong.human) == (-20.7, 14.6)
    assert reference_score("casino") is None
    assert sum(reference_score(game) is not None for game in known_games()) == 57


def test_the_environment_is_the_papers() -> None:
    environment = make_environment("breakout", 2)
    observations, info = environment.reset(seed=reset_seed(3))
    assert observations.shape == (2, *OBSERVATION_SHAPE)
    assert observations.dtype == np.uint8
    assert not observations[:, :3].any(), "the first observation's earlier frames are zero"
    assert observations[:, 3].any()
    assert (info["lives"] == 5).all()
    rewards, terminals, lives = 0.0, 0, set[int]()
    random = np.random.default_rng(1)
    for _ in range(400):
        _, reward, terminated, truncated, info = environment.step(random.integers(4, size=2))
        rewards, terminals = max(rewards, float(reward.max())), terminals + int((terminated | truncated).sum())
        if not terminated.any():
            lives |= set(info["lives"].tolist())
    environment.close()
    assert rewards >= 1.0
    assert terminals >= 1
    assert lives >= {1, 2, 3, 4, 5}, "losing a life ends no episode"


def test_rewards_are_raw() -> None:
    environment = make_environment("space_invaders", 4)
    environment.reset(seed=reset_seed(5))
    random = np.random.default_rng(2)
    seen = {float(r) for _ in range(200) for r in environment.step(random.integers(6, size=4))[1]}
    environment.close()
    assert seen & {5.0, 10.0, 15.0, 20.0, 25.0, 30.0}


def test_episodes_are_truncated_at_the_frame_limit_and_start_with_random_noops() -> None:
    environment = make_environment("pong", 16, max_episode_frames=200)
    _, info = environment.reset(seed=reset_seed(1))
    noops = info["episode_frame_number"]
    assert noops.max() < 2 * NOOP_MAX
    assert len(set(noops.tolist())) > 4
    for _ in range(60):
        _, _, terminated, truncated, _ = environment.step(np.zeros(16, np.int64))
        if truncated.any():
            break
    environment.close()
    assert truncated.any()
    assert not terminated.any()


def test_seeds_are_reproducible_and_apart() -> None:
    seeds = {reset_seed(1, role, actor) for role in range(4) for actor in range(64)}
    assert len(seeds) == 256
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)
    assert reset_seed(1, 2, 3) == reset_seed(1, 2, 3) != reset_seed(2, 2, 3)
    ordered = sorted(seeds)
    assert min(b - a for a, b in itertools.pairwise(ordered)) > 16


def test_no_two_purposes_share_a_stream_of_seeds() -> None:
    seeds = [reset_seed(1, stream) for stream in SeedStream]
    assert len(set(seeds)) == len(seeds)
    # Names of actors begin with a letter or a digit.
    assert max(SeedStream) < ord("0")


def test_the_tree_names_its_streams_of_seeds() -> None:
    root = Path(__file__).resolve().parents[2]
    calls = [
        (path, call)
        for package in ("distill", "actors", "learner", "cluster")
        for path in (root / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "reset_seed"
    ]
    named = {ast.unparse(call.args[1]) for _, call in calls}
    assert {f"SeedStream.{stream.name}" for stream in SeedStream} <= named, "every stream is used, and was found"
    bare = [f"{path}:{call.lineno}" for path, call in calls if isinstance(call.args[1], ast.Constant)]
    assert not bare, "name the purpose in SeedStream"
