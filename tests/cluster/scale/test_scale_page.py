"""docs/scaling.md is what the points say."""

from pathlib import Path

import pytest

from cluster.experiment.results import with_results
from cluster.scale.folder import ScaleFolder
from cluster.scale.page import NOT_MEASURED, scaling_section
from cluster.scale.points import append_point
from tests.support.made_points import REAL, SIMULATED, experiment

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "scaling.md"


def test_the_page_is_up_to_date():
    text = PAGE.read_text()
    section = scaling_section(ROOT / "results" / "scale", PAGE.parent)
    assert with_results(text, section, "page") == text, "run: distill scale --render --page docs/scaling.md"


def test_without_points_nothing_is_claimed(tmp_path: Path):
    assert scaling_section(tmp_path, tmp_path) == NOT_MEASURED


@pytest.mark.parametrize("names", [("real",), ("simulated",), ("real", "simulated")], ids="+".join)
def test_the_plan_needs_real_and_simulated_actors(tmp_path: Path, names: tuple[str, ...]):
    for name in names:
        (tmp_path / name).mkdir()
        for each in experiment((1, 10, 100), (1, 2), settings=REAL if name == "real" else SIMULATED):
            append_point(ScaleFolder(tmp_path / name).points, each)
    section = scaling_section(tmp_path, tmp_path)
    for name in names:
        assert f"### {name}\n" in section
        assert f"({name}/plot.png)" in section
    assert ("What 10,000 actors need" in section) == (len(names) == 2)
    assert (NOT_MEASURED.strip() in section) == (len(names) < 2)
    if len(names) == 2:
        # 10,000 actors of 800 transitions/s at 20 us, and Redis at 2 us with 70 % of a core.
        assert "| cores of the actors | 160 |" in section
        assert "| Redis servers, each one core (--shards) | 23 |" in section
