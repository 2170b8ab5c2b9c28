"""Jobs as Ray tasks: how each ends, that what lacks its needs is not begun, and that a stop asks processes to save."""

from pathlib import Path

import pytest

from cluster.experiment.jobs import Job, run_jobs
from cluster.ray.cluster import RayCluster
from cluster.run.stop_request import StopRequest
from tests.support.sandbox import TEACHERS

CLUSTER = RayCluster(2)


def job(tmp_path: Path, name: str, *words: str, needs: tuple[str, ...] = ()) -> Job:
    return Job(name, words, ("--version",), tmp_path / f"{name}.log", tmp_path / name, needs)


def states(jobs: list[Job], stop: StopRequest) -> dict[str, str]:
    return {outcome.name: outcome.state for outcome in run_jobs(jobs, CLUSTER, 0.0, stop)}


@pytest.mark.usefixtures("own_ray")
def test_a_failed_job_ends_those_that_need_it_and_no_others(tmp_path: Path):
    jobs = [
        job(tmp_path, "bad", "nonsense"),
        job(tmp_path, "after-bad", "--version", needs=("bad",)),
        job(tmp_path, "good", "--version"),
        job(tmp_path, "after-good", "--version", needs=("good",)),
    ]
    assert states(jobs, StopRequest()) == {
        "bad": "failed",
        "after-bad": "lacking",
        "good": "done",
        "after-good": "done",
    }
    assert "unknown command 'nonsense'" in (tmp_path / "bad.log").read_text()
    assert (tmp_path / "good.log").read_text().startswith("policy-distillery")
    assert not (tmp_path / "after-bad.log").exists()


@pytest.mark.usefixtures("own_ray")
def test_a_job_whose_folder_is_there_goes_on(tmp_path: Path):
    (tmp_path / "begun").mkdir()
    assert states([job(tmp_path, "begun", "nonsense")], StopRequest()) == {"begun": "done"}


@pytest.mark.usefixtures("own_ray")
def test_after_a_request_to_stop_nothing_is_begun_and_what_runs_is_asked_to_end(tmp_path: Path):
    stop = StopRequest()
    # An evaluation of hours, on two cores; the other two jobs wait for these.
    words = ("evaluate", str(TEACHERS / "pong.safetensors"), "--episodes", "9999", "--serial")
    jobs = [job(tmp_path, name, *words) for name in "abcd"]
    outcomes = run_jobs(jobs, CLUSTER, 0.0, stop)
    stop.requested = True
    assert {outcome.state for outcome in outcomes} <= {"stopped"}
