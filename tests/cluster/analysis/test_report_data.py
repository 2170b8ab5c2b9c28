"""What a report reads from the folders of runs: unfinished, damaged, resumed, of other versions, alike and unlike."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cluster.analysis.conditions import conditions
from cluster.analysis.run_data import RunData, read_run, read_runs
from cluster.analysis.timing import collected, learned
from cluster.report.drawing.curves import collected_per_second
from cluster.state.folder import EVALUATIONS, METRICS
from cluster.state.session import Session
from distill.config import RunConfig
from distill.errors import ConfigError, RunError
from tests.support.made_runs import (
    START,
    append_metrics,
    evaluation,
    made_online_run,
    made_run,
    named,
    progress,
    report,
)

FINAL = {"breakout": [9.0, 11.0], "pong": [-3.0, -1.0]}


def notes(run: RunData) -> str:
    return "\n".join(run.notes)


def test_a_finished_run_is_read_whole(tmp_path: Path):
    run = read_run(made_run(tmp_path, "one", final=FINAL).path)
    assert (run.name, run.command, run.state, run.games) == ("one", "run", "finished", ("breakout", "pong"))
    assert run.notes == []
    assert run.final["student", "breakout"].mean == 10.0
    comparison = run.comparison("breakout")
    assert comparison is not None
    assert comparison.ratio.value == pytest.approx(10.0 / 11.75)
    assert [look.updates for look in run.looks if look.game == "pong"] == [150, 300]
    assert run.seconds_at(run.looks[0]) == 15.0, "between the lines of 100 and 200 updates"


def test_a_run_with_q_learners_is_read_in_the_same_form(tmp_path: Path):
    run = read_run(made_online_run(tmp_path, "one").path)
    assert (run.command, run.state, run.player) == ("online", "stopped", "student")
    assert run.lineages == ["pong", "student"]
    assert run.learner("pong")[-1].lag == {"pong": 2.0}
    assert [promotion.version for promotion in run.promotions["pong"]] == [2]
    assert run.verdicts["pong"] == {"superseded": 1, "promoted": 1}
    assert [(look.player, look.version, look.purpose, look.block) for look in run.looks] == [
        ("student", 1, "look", 0), ("candidate", 1, "curve", 0),
        ("candidate", 2, "look", 0), ("candidate", 2, "look", 1), ("candidate", 2, "curve", 0),
    ], "the newest version last, whenever it was played"  # fmt: skip
    assert [(look.player, look.version, look.purpose, look.block) for look in run.drawn] == [
        ("student", 1, "look", 0), ("candidate", 1, "curve", 0), ("candidate", 2, "curve", 0),
    ], "of each version the evaluation for the curves, or its first look"  # fmt: skip


def test_an_unfinished_run_says_so(tmp_path: Path):
    folder = made_run(tmp_path, "one")
    assert "stopped before its end" in notes(read_run(folder.path))
    with folder.claim():
        run = read_run(folder.path)
    assert run.state == "running"
    assert "going on when this report was made" in notes(run)


def test_reading_leaves_no_trace(tmp_path: Path):
    made_run(tmp_path, "one", final=FINAL)
    made_online_run(tmp_path, "two")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for name in ("one", "two"):
        read_run(tmp_path / name)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_damaged_lines_are_counted_and_the_others_used(tmp_path: Path):
    folder = made_run(tmp_path, "one", final=FINAL)
    with (folder.path / METRICS).open("ab") as file:
        file.write(b'{"time": 1}\n[]\n7\n\xff\xfe\n{"time": 1, "upda')
    with (folder.path / EVALUATIONS).open("a") as file:
        broken = evaluation("pong", "student", 9, [1.0]).to_json() | {"scores": []}
        file.write(json.dumps({"version": 9, "updates": 1, "games": {"pong": broken}}) + "\n")
        file.write('{"version": 9, "updates": 1, "games": {"pong": {"scores": [NaN]}}}\n')
    run = read_run(folder.path)
    assert "metrics.jsonl: 5 damaged lines left out" in notes(run)
    assert "evaluations.jsonl: 2 damaged lines left out" in notes(run)
    assert len(run.metrics) == 4
    assert {look.version for look in run.looks} == {1, 2}


def test_a_loss_that_is_no_number_is_no_damage(tmp_path: Path):
    folder = made_run(tmp_path, "one")
    text = (folder.path / METRICS).read_text().replace('"loss": {"breakout": 1.0', '"loss": {"breakout": NaN')
    (folder.path / METRICS).write_text(text)
    run = read_run(folder.path)
    assert len(run.metrics) == 4
    assert run.learner("student")[0].loss["breakout"] != run.learner("student")[0].loss["breakout"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"evaluations": 3}', '{"evaluations": [{"who": "student"}]}'])
def test_a_damaged_last_evaluation_is_left_out(tmp_path: Path, text: str):
    folder = made_run(tmp_path, "one", final=FINAL)
    folder.evaluation.write_text(text)
    run = read_run(folder.path)
    assert run.final == {}
    assert "evaluation.json is damaged" in notes(run)


def test_an_empty_run_says_what_is_missing(tmp_path: Path):
    folder = made_run(tmp_path, "one")
    for file in (METRICS, EVALUATIONS, "environment.json"):
        (folder.path / file).unlink()
    said = notes(read_run(folder.path))
    assert "no metrics" in said
    assert "Nothing was evaluated" in said
    assert "environment.json is missing" in said


def test_a_damaged_ledger_leaves_out_its_line_only(tmp_path: Path):
    folder = made_online_run(tmp_path, "one")
    (folder.path / "models" / "pong" / "ledger.json").write_text("{")
    run = read_run(folder.path)
    assert "The decisions about pong are left out" in notes(run)
    assert len(run.metrics) == 4


def test_settings_of_another_version_are_shown_and_noted(tmp_path: Path):
    folder = made_run(tmp_path, "one")
    file = folder.path / "config.yaml"
    file.write_text(file.read_text() + "flux_capacity: 3\n")
    run = read_run(folder.path)
    assert run.settings["flux_capacity"] == 3
    assert "unknown setting 'flux_capacity'" in notes(run)


@pytest.mark.parametrize("text", ["games: 3\n", "name: one\n", "- 1\n", "games: [\n"])
def test_a_configuration_that_tells_no_games_is_one_error(tmp_path: Path, text: str):
    folder = made_run(tmp_path, "one")
    (folder.path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_run(folder.path)


def test_what_is_no_run_or_is_given_twice_is_refused(tmp_path: Path):
    folder = made_run(tmp_path, "one")
    with pytest.raises(RunError, match="expected a run's folder"):
        read_runs([tmp_path])
    with pytest.raises(RunError, match="given twice"):
        read_runs([folder.path, folder.path / ".." / "one"])


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    paths = [made_run(tmp_path / root, name).path for root, name in (("x", "one"), ("y", "one"), ("y", "two"))]
    assert [run.name for run in read_runs(paths)] == ["x/one", "y/one", "two"]


def test_a_resumed_run_counts_everything_once(tmp_path: Path):
    folder = made_run(tmp_path, "one", games=["pong"])
    session = Session(folder, named(RunConfig(), ["pong"]), services=None)  # pyright: ignore[reportArgumentType]
    # Back to the checkpoint of 150 updates, with new collecting actors that count from 0.
    for updates, transitions in ((150, 100), (250, 700)):
        session.learners["student"] = progress(["pong"], updates, updates / 10.0)
        session.on_player(report("pong", transitions, transitions / 50.0))
        append_metrics(session, START + 1000.0 + updates)
    run = read_run(folder.path)
    assert [point.updates for point in run.learner("student")] == [0, 100, 150, 250]
    (gathered,) = collected(run)
    assert gathered.transitions == 1500 + 700
    assert gathered.total == pytest.approx(30.0 + 14.0)
    assert gathered.seconds["wait"] == pytest.approx(0.4 * 44.0)
    (student,) = learned(run)
    assert student.seconds == {"updates": 18.75, "waiting for data": 6.25}
    rates = [rate for _, rate in collected_per_second(run)]
    assert rates == [50.0, 6.0], "the pause between the sittings has no rate"


def test_seeds_are_repetitions_and_other_settings_are_not(tmp_path: Path):
    paths = [
        made_run(tmp_path, name, seed=seed, loss=loss).path
        for name, seed, loss in (("a", 1, "kl"), ("b", 1, "mse"), ("c", 2, "kl"))
    ]
    groups = conditions(read_runs(paths))
    assert [(group.title, [run.name for run in group.runs]) for group in groups] == [
        ("A: loss kl", ["a", "c"]), ("B: loss mse", ["b"]),
    ]  # fmt: skip


def test_teachers_elsewhere_are_the_same_and_others_are_not(tmp_path: Path):
    (run,) = read_runs([made_run(tmp_path, "a").path])

    def taught(name: str, *teachers: str) -> RunData:
        return replace(run, name=name, settings=run.settings | {"teachers": list(teachers)})

    groups = conditions([taught("a", "/x/pong.safetensors"), taught("b", "/y/pong.safetensors"), taught("c", "/x/old")])
    assert [[member.name for member in group.runs] for group in groups] == [["a", "b"], ["c"]]


def test_the_recorded_configuration_is_what_is_shown(tmp_path: Path):
    folder = made_run(tmp_path, "one")
    run = read_run(folder.path)
    recorded = yaml.safe_load((folder.path / "config.yaml").read_text())
    assert run.settings | {"format": recorded["format"], "run_id": folder.run_id()} == recorded
    assert not {"format", "run_id"} & set(run.settings), "they are the folder's, and no settings"
