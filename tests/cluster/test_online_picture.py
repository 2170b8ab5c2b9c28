"""The picture of an online run is drawn."""

import json
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from online_support import row

from cluster.analysis.picture import draw_run
from cluster.state.folder import RunFolder
from cluster.state.run_session import learner_metrics
from learner.progress import Progress


def test_a_run_is_drawn_whole_and_one_without_scores_is_not(tmp_path: Path):
    folder = RunFolder(tmp_path)
    draw_run(folder)
    assert not (tmp_path / "picture.png").exists()
    generator = np.random.default_rng(1)
    promotions = []
    for index in range(1, 17):
        seconds = 60.0 * 4 * index
        folder.append("evaluations.jsonl", row("pong", index, 0, seconds, *generator.normal(index - 8.0, 4.0, 8)))
        folder.append(
            "evaluations.jsonl", row("student", index, 0, seconds + 60, *generator.normal(index - 8.0, 2.0, 8))
        )
        if index % 4 == 0:
            promotions.append({
                "version": index, "parent": None, "names": ["best"], "why": "better", "kind": "promotion",
                "time": seconds + 120.0,
                "scores": {"pong": {"mean": index - 7.0, "interval": None, "episodes": 8}},
            })  # fmt: skip
        learners = {
            name: learner_metrics(Progress(train_seconds=seconds, updates=speed * index))
            | {"lag": {"pong": float(index % 3 == 0)}}
            for name, speed in (("pong", 900), ("student", 1300))
        }
        folder.append("metrics.jsonl", {"time": seconds, "learners": learners, "collectors": {}, "restarts": {}})
    models = tmp_path / "models" / "pong"
    models.mkdir(parents=True)
    (models / "ledger.json").write_text(json.dumps({"promotions": promotions, "verdicts": {}, "scores": {}}))
    draw_run(folder)
    picture = imread(tmp_path / "picture.png")
    assert picture.shape[0] > 600 and picture.shape[1] > 700
    colours = {tuple(round(255 * c) for c in pixel[:3]) for pixel in picture[::2, ::2].reshape(-1, picture.shape[2])}
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x99, 0x99, 0x99)):
        assert colour in colours, "student, teacher and candidates are drawn"
