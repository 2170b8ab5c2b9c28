"""Every metric of a run: its name, kind, labels, unit and meaning. `docs/metrics.md` is generated from this file.

No label ever names an actor: series grow with games and roles, not with the size of a cluster. Runs are told apart by
the `run` label that Prometheus gives to everything it scrapes from a run.
"""

from dataclasses import dataclass
from typing import Literal

from distill.chunks import REJECTION_REASONS
from distill.histograms import BOUNDS

PREFIX = "distill_"

ROLES = ("collector", "learner", "evaluator", "explorer", "coordinator", "redis")
SIDES = ("actor", "feed", "learner")
WHO = ("teacher", "student", "candidate")
TRACKERS = ("mlflow", "tensorboard", "wandb")
WRITES = ("checkpoint", "evaluation", "film", "log", "metrics", "model", "picture", "progress", "redis", *TRACKERS)

LABELS = {
    "game": "an ALE game by its ROM name",
    "role": "what a process does: " + ", ".join(f"`{role}`" for role in ROLES),
    "reason": "why a chunk was refused: "
    + ", ".join(f"`{reason}`" for reason in REJECTION_REASONS)
    + "; of `distill_write_failures_total`, what could not be written: "
    + ", ".join(f"`{kind}`" for kind in WRITES),
    "side": "who waits: `actor` for room in the buffer, `feed` for the learner to sample, `learner` for data",
    "who": "whose score: `teacher`, `student` (its newest scored version), `candidate` (a version still being judged)",
    "version": "of the program; on `distill_build_info` alone",
}


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: with prefix and unit, as Prometheus shows it.
        kind: what Prometheus may do with it.
        labels: names of its labels.
        unit: what it counts or measures.
        help: one sentence.
        buckets: upper bounds of a histogram, without infinity.
        initial: a gauge's value before anybody sets it: 0, the time at which the exporter started, or no series at all.
        combine: a gauge's value where several processes set the same series.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    unit: str
    help: str
    buckets: tuple[float, ...] = ()
    initial: Literal["zero", "start", "absent"] = "zero"
    combine: Literal["sum", "max", "mean"] = "sum"


def _counter(name: str, labels: tuple[str, ...], unit: str, text: str) -> Metric:
    return Metric(PREFIX + name, "counter", labels, unit, text)


def _gauge(
    name: str,
    labels: tuple[str, ...],
    unit: str,
    text: str,
    initial: Literal["zero", "start", "absent"] = "zero",
    combine: Literal["sum", "max", "mean"] = "sum",
) -> Metric:
    return Metric(PREFIX + name, "gauge", labels, unit, text, initial=initial, combine=combine)


def _timestamp(name: str, what: str) -> Metric:
    # The start stands in for what has not happened yet, so that an age never counts from 1970.
    text = f"Unix time of the newest {what}; until the first one, the time at which the run started."
    return _gauge(name, (), "seconds", text, initial="start", combine="max")


def _histogram(name: str, text: str, kind: str) -> Metric:
    return Metric(PREFIX + name, "histogram", ("game",), "seconds", text, BOUNDS[kind])


COUNTERS = (
    _counter("transitions_collected_total", ("game",), "transitions", "Labelled steps that collectors handed on."),
    _counter("episodes_total", ("game",), "episodes", "Episodes that ended in collectors."),
    _counter("chunks_pushed_total", ("game",), "chunks", "Chunks that the buffer service took; retries not counted."),
    _counter("chunks_rejected_total", ("reason",), "chunks", "Chunks that the learner's feed refused."),
    _counter("chunks_trimmed_total", ("game",), "chunks", "Chunks that the buffer dropped after all had read them."),
    _counter(
        "buffer_wait_seconds_total",
        ("side",),
        "seconds",
        "Time spent waiting for the other side of the buffer, summed over the processes of a side.",
    ),
    _counter("learner_updates_total", (), "updates", "Updates that the learner made, skipped ones included."),
    _counter("learner_samples_total", (), "transitions", "Transitions that the learner sampled."),
    _counter("nonfinite_updates_total", (), "updates", "Updates skipped because loss or gradient was not finite."),
    _counter("actor_restarts_total", ("role",), "restarts", "Processes that were started again."),
    _counter(
        "write_failures_total",
        ("reason",),
        "writes",
        "Writes into the run's folder that the disk refused; `redis` counts checks that found its server refused, and"
        f" {', '.join(f'`{kind}`' for kind in TRACKERS)} rows that this tracker did not take.",
    ),
    _counter("promotions_total", (), "promotions", "Times that another version became the best."),
    _counter("evaluations_total", ("game",), "evaluations", "Versions of the student that were scored at a game."),
)

GAUGES = (
    _gauge("buffer_transitions", ("game",), "transitions", "Transitions that the buffer service keeps."),
    _gauge(
        "buffer_capacity_transitions",
        ("game",),
        "transitions",
        "Transitions above which the buffer drops the oldest chunks that all have read.",
    ),
    _gauge("buffer_bytes", ("game",), "bytes", "Memory of the kept chunks, as Redis estimates it."),
    _gauge("replay_transitions", ("game",), "transitions", "Transitions in the learner's replay."),
    _gauge(
        "sample_to_insert_ratio",
        (),
        "ratio",
        "Transitions sampled per transition inserted, since the run began.",
        combine="mean",
    ),
    _gauge(
        "sample_to_insert_target_ratio",
        (),
        "ratio",
        "The ratio that the learner holds; 0 if both sides run free.",
        combine="mean",
    ),
    _gauge(
        "policy_version_lag",
        ("game",),
        "versions",
        "Versions by which the weights that collectors use are behind the newest; the largest over collectors.",
        combine="max",
    ),
    _gauge(
        "loss",
        ("game",),
        "",
        "Mean loss in the newest report; each kind of loss has its own scale.",
        "absent",
        combine="mean",
    ),
    _gauge("score", ("game", "who"), "", "Mean raw score of the newest evaluation.", "absent", combine="max"),
    _gauge("best_score", ("game", "who"), "", "Mean raw score of the best version.", "absent", combine="max"),
    _gauge(
        "score_ratio",
        ("game",),
        "ratio",
        "Newest scored student / teacher, as docs/evaluation.md defines it.",
        "absent",
        combine="max",
    ),
    _gauge("actors_alive", ("role",), "processes", "Processes of a role that work."),
    _gauge(
        "actors_desired",
        ("role",),
        "processes",
        "Processes of a role that should work; 0 once the role's work is done, which ends its alerts.",
    ),
    _timestamp("last_update_timestamp_seconds", "update"),
    _timestamp("last_checkpoint_timestamp_seconds", "checkpoint"),
    _timestamp("last_evaluation_timestamp_seconds", "evaluation of the student"),
    _timestamp("last_promotion_timestamp_seconds", "promotion"),
    _gauge("build_info", ("version",), "", "Always 1; its label tells the program's version.", "absent"),
)

HISTOGRAMS = (
    _histogram(
        "inference_seconds",
        "One batched forward of a collector's policies, all lanes.",
        "inference",
    ),
    _histogram(
        "environment_step_seconds",
        "One step of a collector's vector environment, all lanes.",
        "environment",
    ),
    _histogram(
        "push_seconds",
        "Packing one chunk and pushing it, waits for room left out.",
        "push",
    ),
    _histogram(
        "update_seconds",
        "One update of the learner, its gather included.",
        "update",
    ),
    _histogram(
        "gather_seconds",
        "Gathering one minibatch from the replay.",
        "gather",
    ),
)

METRICS = {metric.name: metric for metric in (*COUNTERS, *GAUGES, *HISTOGRAMS)}
