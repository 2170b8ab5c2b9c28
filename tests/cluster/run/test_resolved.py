"""How many actors a run has if nobody has said so: what the machine holds, and its folder shows the number."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.ray.cluster import RayCluster
from cluster.run.resolved import resolved
from cluster.state.folder import new_run, open_run
from cluster.state.kinds import AnyConfig
from cluster.workers.placement import place, players_per_game
from distill.config import RunConfig, TrainingConfig, parse_settings
from distill.teach_config import OnlineConfig, TeachConfig

GPU = {"CPU": 16.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("cores", "games", "learners", "learner_threads", "expected"),
    [
        (1, 1, 1, 0, 1),
        (2, 1, 1, 0, 1),
        (2, 3, 1, 0, 1),
        (2, 1, 2, 0, 1),
        (4, 1, 1, 0, 1),
        (8, 1, 1, 0, 1),
        (16, 1, 1, 0, 7),
        (16, 3, 1, 0, 2),
        (16, 3, 1, 1, 4),
        (16, 1, 1, 32, 1),
        (16, 2, 3, 0, 1),
        (64, 10, 1, 0, 5),
        (8192, 1, 1, 0, 1024),
    ],
)
def test_actors_fill_what_learners_and_evaluator_leave(
    cores: int, games: int, learners: int, learner_threads: int, expected: int
):
    training = TrainingConfig(device="cpu", learner_threads=learner_threads)
    assert players_per_game(games, learners, training, RayCluster(cores)) == expected


@pytest.mark.parametrize(
    ("resources", "device", "games", "expected"),
    [
        ({"CPU": 16.0}, "auto", 1, 7),
        (GPU, "auto", 3, 4),
        (GPU, "cuda", 1, 14),
        (GPU, "cpu", 1, 7),
        (GPU | {"distill_learner": 1.0, "distill_actor": 9.0}, "auto", 2, 4),
        (GPU | {"distill_learner": 1.0, "distill_actor": 1.0}, "auto", 2, 1),
    ],
)
def test_on_a_cluster_they_fill_the_cluster(resources: dict[str, float], device: str, games: int, expected: int):
    cluster = RayCluster(16, 2, resources)
    assert players_per_game(games, 1, TrainingConfig(device=device), cluster) == expected


@given(st.integers(1, 300), st.integers(1, 26), st.integers(1, 27))
def test_they_take_no_core_of_a_learner(cores: int, games: int, learners: int):
    training, cluster = TrainingConfig(device="cpu"), RayCluster(cores)
    players = games * players_per_game(games, learners, training, cluster)
    alone, filled = (place(others + 1, learners, training, cluster).learner_threads for others in (games, players))
    assert filled == alone


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (RunConfig, {}, 3),
        (TeachConfig, {}, 3),
        (OnlineConfig, {}, 1),
        (RunConfig, {"serial": True}, 1),
        (RunConfig, {"serial": True, "shards": 2}, 2),
        (RunConfig, {"shards": 4}, 4),
        (RunConfig, {"actors": 1}, 1),
        (RunConfig, {"actors": 5, "serial": True}, 5),
        (RunConfig, {"data": "data"}, None),
    ],
)
def test_the_folder_shows_the_number(
    tmp_path: Path, kind: type[AnyConfig], settings: dict[str, Any], expected: int | None
):
    games = ["pong", "breakout"]
    common = {"name": "run", "root": str(tmp_path), "games": games, "device": "cpu"}
    config: AnyConfig = parse_settings(kind, common | settings, "test")
    folder = new_run(config, games)
    run_id = folder.run_id()
    found = resolved(folder, config, RayCluster(16))
    _, kept = open_run(kind, folder.path)
    for each in (found, kept):
        play = each.collect if isinstance(each, RunConfig) else each.explore
        assert play.actors == expected
    assert folder.run_id() == run_id
    # It holds when the run is resumed, wherever that is.
    assert resolved(folder, kept, RayCluster(64)) == kept


@pytest.mark.parametrize(
    ("kind", "settings", "resources", "expected"),
    [
        (RunConfig, {}, {"CPU": 16.0}, (32, 2.5e-4)),
        (RunConfig, {}, GPU, (128, 5e-4)),
        (RunConfig, {"batch_size": 64}, GPU, (64, 2.5e-4)),
        (RunConfig, {"learning_rate": 1e-4}, GPU, (128, 1e-4)),
        (RunConfig, {"device": "cpu"}, GPU, (32, 2.5e-4)),
        (RunConfig, {"learners": 32, "shards": 32}, GPU | {"GPU": 32.0}, (128, 5e-4)),
        (OnlineConfig, {}, GPU, (32, 2.5e-4)),
    ],
)
def test_the_students_batch_fits_the_device(
    tmp_path: Path,
    kind: type[RunConfig | OnlineConfig],
    settings: dict[str, Any],
    resources: dict[str, float],
    expected: tuple[int, float],
):
    common = {"name": "run", "root": str(tmp_path), "games": ["pong"]}
    config = parse_settings(kind, common | settings, "test")
    folder = new_run(config, ["pong"])
    found = resolved(folder, config, RayCluster(16, 2, resources))
    _, kept = open_run(kind, folder.path)
    for each in (found, kept):
        assert isinstance(each, RunConfig | OnlineConfig)
        assert (each.learner.batch_size, each.learner.learning_rate) == expected
    # Resumed where there is none, it goes on as it began.
    assert resolved(folder, kept, RayCluster(2)) == kept
