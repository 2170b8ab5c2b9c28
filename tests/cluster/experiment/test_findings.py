"""What is told of scores: the table beside the paper's, verdicts on claims, transfer, steadiness, and its forms."""

import re
from pathlib import Path

import pytest

from cluster.experiment.blocks import Findings, Grid, Sentence
from cluster.experiment.catalogue import EXPERIMENTS
from cluster.experiment.findings import findings
from cluster.experiment.folder import ExperimentFolder
from cluster.experiment.markdown import markdown
from cluster.experiment.network_sizes import measure_networks
from cluster.experiment.results import read_results, write_results
from cluster.experiment.score_rows import ScoreRow, append_rows
from cluster.experiment.scores import Scores
from distill.errors import RunError
from tests.support.made_scores import row, rows


def told(name: str, made: list[ScoreRow], **measured: object) -> Findings:
    return findings(Scores(EXPERIMENTS[name], made), measured)


def grid(found: Findings, caption: str) -> Grid:
    return next(block for block in found.blocks if isinstance(block, Grid) and caption in block.caption)


def sentences(found: Findings) -> str:
    return " ".join(block.text for block in found.blocks if isinstance(block, Sentence))


def losses(kl: float, nll: float, mse: float) -> list[ScoreRow]:
    shares = {"kl": kl, "nll": nll, "mse": mse}
    return [
        each
        for variant, share in shares.items()
        for game in ("breakout", "pong")
        for each in rows(variant, game, [share, share * 1.02, share * 0.98])
    ]


def test_the_table_stands_in_the_papers_form_beside_the_paper():
    table = grid(told("losses", losses(0.95, 0.8, 0.35)), "Mean score")
    assert table.head == ("game", "", "teacher", "MSE", "NLL", "KL", "best")
    by_row = {(cells[0], cells[1]): cells for cells in table.rows}
    assert re.fullmatch(r"3\d\.\d / 3\d\.\d % \[3\d\.\d, 3\d\.\d\]", by_row["breakout", "here"][3])
    assert by_row["breakout", "here"][-1] == "KL"
    papers = [cells for cells in table.rows if cells[1] == "paper"]
    assert papers[0] == ("", "paper", "303.9", "102.9 / 33.9 %", "235.9 / 77.6 %", "287.8 / 94.7 %", "")
    assert papers[1] == ("", "paper", "16.2", "15.3 / 94.4 %", "15.4 / 94.9 %", "16.3 / 100.9 %", "")
    assert papers[2][3:6] == ("56.6 %", "85.8 %", "97.8 %")
    (raw,) = [cells for cells in table.rows if cells[1] == "raw"]
    assert raw[5].startswith("9")


@pytest.mark.parametrize(
    "kl, nll, verdict", [(0.9, 0.5, "confirmed"), (0.5, 0.9, "DISAGREES with the paper"), (0.9, 0.9, "not decided")]
)
def test_claims_are_judged_by_their_intervals(kl: float, nll: float, verdict: str):
    claims = grid(told("losses", losses(kl, nll, 0.3)), "held against")
    (judged,) = [cells for cells in claims.rows if cells[0] == "KL above NLL"]
    assert verdict in judged[-1]
    assert judged[2] == f"{97.75 / 85.82:.2f}"


def test_figures_that_differ_from_the_papers_are_named_with_the_evidence():
    text = sentences(told("losses", losses(0.95, 0.776, 0.6)))
    assert re.search(r"breakout, MSE: here (59|60)\.\d % \[.*\], there 33\.9 %", text)
    assert "breakout, NLL" not in text


def test_what_is_made_so_far_is_told_as_it_is():
    part = [each for each in losses(0.9, 0.8, 0.3) if (each.variant, each.game) != ("kl", "pong")]
    found = told("losses", part)
    assert "leave out pong" in sentences(found)
    assert told("losses", rows("kl", "breakout", [0.9])).blocks
    assert "one seed" in sentences(told("losses", rows("kl", "breakout", [0.9])))


def test_the_best_temperature_of_a_game_is_named():
    made = [each for tau, share in (("1", 0.2), ("0.1", 0.5), ("0.01", 0.9), ("0.001", 0.7))
            for each in rows(f"tau-{tau}", "breakout", [share, share])]  # fmt: skip
    gaps = [{"game": "breakout", "transitions": 9, "actions": 4, "gap": {"0.1": 0.01, "0.5": 0.02, "0.9": 0.3},
             "width": 0.5, "best_action": {"1": 0.26, "0.1": 0.4, "0.01": 0.9, "0.001": 1.0}}]  # fmt: skip
    found = told("temperature", made, action_gaps=gaps)
    assert grid(found, "Mean score").rows[0][-1] == "tau 0.01"
    assert grid(found, "q-values").rows[0][:4] == ("breakout", "1 / 4 = 0.25", "0.0100", "0.0200")


def test_transfer_is_tested_and_corrected():
    made = [
        *rows("alone", "breakout", [0.50, 0.51, 0.49]),
        *rows("alone", "qbert", [0.80, 0.81, 0.79]),
        *rows("alone", "freeway", [0.90, 0.91, 0.89]),
    ]
    together = {("breakout", "qbert"): 0.7, ("qbert", "breakout"): 0.8, ("breakout", "freeway"): 0.5,
                ("freeway", "breakout"): 0.9, ("qbert", "freeway"): 0.4, ("freeway", "qbert"): 0.9}  # fmt: skip
    for (game, partner), share in together.items():
        made += rows("pair", game, [share, share + 0.01, share - 0.01], games=tuple(sorted((game, partner))))
    found = told("transfer", made)
    table = {(cells[0], cells[1]): cells for cells in grid(found, "Every pair").rows}
    assert table["breakout", "qbert"][2].startswith(("+19.", "+20."))
    assert table["qbert", "freeway"][2].startswith("-40.")
    assert [table[key][-1] for key in together] == ["yes", "no", "no", "no", "yes", "no"]
    assert float(table["breakout", "qbert"][4]) > float(table["breakout", "qbert"][3])
    assert "Of 6 tests 2 are significant" in sentences(found)
    matrix = grid(found, "Gain of the row")
    assert list(matrix.rows[0])[:3] == ["breakout", "", "+0.0"]


def online(seed: int, student: float, candidates: float) -> list[ScoreRow]:
    last = {"ratio": 0.9, "student_spread": student, "candidates_spread": candidates, "student_error": 0.1,
            "candidates_error": 0.2}  # fmt: skip
    return [
        row("online", "pong", seed, [3.0, 4.0], last_half=last),
        row("online", "pong", seed, [4.0, 5.0], player="q_learner", last_half=last),
    ]


@pytest.mark.parametrize(
    "factors, verdict",
    [((0.3, 0.4, 0.35), "as the paper says"), ((2.0, 2.5, 1.8), "DISAGREES"), ((0.5, 2.0, 1.0), "does not decide")],
)
def test_steadiness_is_told_over_seeds(factors: tuple[float, ...], verdict: str):
    found = told("online", [each for seed, factor in enumerate(factors, 1) for each in online(seed, 2 * factor, 2.0)])
    assert verdict in sentences(found)
    assert [cells[-1] for cells in grid(found, "Every training").rows] == [f"{factor:.2f}" for factor in factors]


def test_networks_are_measured_with_the_papers_sizes():
    measured = measure_networks()
    assert {each["network"]: each["parameters"] for each in measured} == {
        "teacher": 1_693_362, "net1": 427_874, "net2": 113_346, "net3": 61_954, "one_percent": 16_842,
    }  # fmt: skip
    made = [*rows("net1", "breakout", [0.9, 0.8]), *rows("net1-dqn", "breakout", [0.3, 0.2])]
    costs = {
        cells[0]: cells for cells in grid(told("compression", made, networks=measured), "What a network costs").rows
    }
    assert costs["net1"][1:4] == ("427,874", "25.3%", "1.71")
    assert costs["net1"][5].startswith("85.")
    assert costs["net1"][6].startswith("25.")


def test_markdown_has_a_heading_tables_and_the_plot():
    experiment = EXPERIMENTS["losses"]
    text = markdown(experiment, told("losses", losses(0.9, 0.8, 0.3)), "results/losses/plot.png", 3)
    assert text.startswith("### Losses\n\nWhich loss")
    assert "| game |  | teacher | MSE | NLL | KL | best |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |" in text
    assert "](results/losses/plot.png)" in text


def test_table_plot_and_page_are_written_and_the_same_the_next_time(tmp_path: Path):
    folder = ExperimentFolder(tmp_path / "losses")
    folder.make()
    assert write_results(EXPERIMENTS["losses"], folder) is None
    append_rows(folder.scores, losses(0.9, 0.8, 0.3))
    files = (folder.table, folder.page, folder.picture)
    written = [write_results(EXPERIMENTS["losses"], folder) and [file.read_bytes() for file in files] for _ in range(2)]
    assert written[0] == written[1]
    assert b"<svg" in folder.page.read_bytes()
    assert folder.picture.read_bytes().startswith(b"\x89PNG")


def test_damaged_scores_are_told(tmp_path: Path):
    folder = ExperimentFolder(tmp_path / "losses")
    folder.make()
    append_rows(folder.scores, losses(0.9, 0.8, 0.3))
    with folder.scores.open("a") as file:
        file.write('{"cell": "kl-pong-9"}\n')
    with pytest.raises(RunError, match="1 damaged lines"):
        read_results(EXPERIMENTS["losses"], folder)
