"""The README's results: that they tell the scores in results/, and that they are put between the marks alone."""

from pathlib import Path

import pytest

from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.markdown import markdown
from cluster.experiment.results import BEGIN, END, read_results, renew_readme, results_section, with_results
from cluster.experiment.score_rows import append_rows
from distill.errors import ConfigError
from tests.support.made_scores import rows

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "results"


def test_the_readme_tells_the_scores_that_are_there():
    text = (ROOT / "README.md").read_text()
    assert with_results(text, results_section(RESULTS, ROOT), "README.md") == text, "`make results` renews it"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_tables_tell_the_scores_that_are_there(name: str):
    folder = ExperimentFolder(RESULTS / name)
    if (read := read_results(EXPERIMENTS[name], folder)) is None:
        assert not folder.path.exists()
    else:
        expected = markdown(EXPERIMENTS[name], read[1], folder.picture.name, level=1)
        assert folder.table.read_text() == expected, "`make results` renews it"
        assert folder.picture.exists()
        assert folder.page.exists()


def test_a_readme_that_is_out_of_date_is_noticed_and_renewed(tmp_path: Path):
    readme, folder = tmp_path / "README.md", ExperimentFolder(tmp_path / "results" / "losses")
    readme.write_text(f"before\n{BEGIN}\nNo experiment has been run yet.\n{END}\nafter\n")
    assert not renew_readme(readme, tmp_path / "results")
    folder.make()
    append_rows(folder.scores, rows("kl", "breakout", [0.9, 0.8]))
    assert renew_readme(readme, tmp_path / "results")
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n### Losses\n")
    assert text.endswith(f"(results/losses/plot.png)\n{END}\nafter\n")
    assert not renew_readme(readme, tmp_path / "results")


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"], ids=repr)
def test_marks_that_are_missing_are_told(text: str):
    with pytest.raises(ConfigError, match="expected one line"):
        with_results(text, "", "README.md")
