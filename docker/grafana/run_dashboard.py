"""The dashboard of one run: what a user asks while it trains."""

from grafana_foundation_sdk.models import dashboard
from panels import Lines, Number, Query, Row, Table, make_dashboard, query_variable

RUN = '{run="$run"}'
GAME = '{run="$run",game=~"$game"}'


def run_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of one run."""
    return make_dashboard(
        uid="distill-run",
        title="Distillation run",
        text="Is it learning, what is the best model, who waits for whom, is the buffer filling, are all alive?",
        variables=[
            query_variable("run", "run", "label_values(distill_build_info, run)", several=False),
            query_variable("game", "game", f"label_values(distill_replay_transitions{RUN}, game)", several=True),
        ],
        rows=[LEARNING, BEST, WAITING, BUFFER, ACTORS, TIME],
    )


LEARNING = Row(
    "Is it learning?",
    [
        Lines(
            "Student / teacher",
            "Newest scored version. 1 is as good as the teacher; docs/evaluation.md has the definition.",
            [Query(f"distill_score_ratio{GAME}", "{{game}}")],
            unit="percentunit",
            width=12,
            top=1.0,
        ),
        Lines(
            "Score",
            "Mean raw score of the newest evaluation, beside the teacher's.",
            [Query(f"distill_score{GAME}", "{{game}} {{who}}")],
            width=12,
        ),
        Lines(
            "Loss",
            "It should fall, quickly at first. A rise that stays asks for a lower learning rate.",
            [Query(f"distill_loss{GAME}", "{{game}}")],
            logarithmic=True,
        ),
        Lines(
            "Updates per second",
            "Of the learner, waits included.",
            [Query(f"run:distill_learner_updates:rate1m{RUN}", "updates")],
        ),
        Lines(
            "Skipped updates in 10 minutes",
            "Loss or gradient was not finite. It should be 0.",
            [Query(f"increase(distill_nonfinite_updates_total{RUN}[10m])", "skipped")],
        ),
    ],
)

BEST = Row(
    "What is the best model?",
    [
        Table(
            "Scores",
            "Mean raw scores. The best version is the one with the highest mean over games of student / teacher.",
            ["game"],
            [
                Query('max by (game) (distill_score{run="$run",who="teacher"})', "teacher"),
                Query('max by (game) (distill_best_score{run="$run",who="student"})', "best student"),
                Query('max by (game) (distill_score{run="$run",who="student"})', "newest student"),
                Query(f"max by (game) (distill_score_ratio{RUN})", "newest / teacher"),
                Query(f"max by (game) (run_game:distill_score_ratio:max1d{RUN})", "highest of 24 h / teacher"),
            ],
            units=(("newest / teacher", "percentunit"), ("highest of 24 h / teacher", "percentunit")),
            width=12,
        ),
        Number(
            "Promotions",
            "How often another version became the best, in this sitting.",
            Query(f"distill_promotions_total{RUN}", "promotions"),
        ),
        Number(
            "Since the newest evaluation",
            "Or since the start. Red after an hour.",
            Query(f"time() - distill_last_evaluation_timestamp_seconds{RUN}", "age"),
            unit="s",
            bad=3600,
        ),
        Number(
            "Since the newest promotion",
            "Or since the start. Long is normal late in a run.",
            Query(f"time() - distill_last_promotion_timestamp_seconds{RUN}", "age"),
            unit="s",
        ),
    ],
)

WAITING = Row(
    "Who waits for whom?",
    [
        Lines(
            "Share of time spent waiting",
            "The faster side waits on purpose. `learner` high: more collectors would help. `actor` high: fewer do.",
            [Query(f"run_side:distill_buffer_wait:ratio5m{RUN}", "{{side}}")],
            unit="percentunit",
            top=1.0,
        ),
        Lines(
            "Samples per transition",
            "The ratio that the learner holds, and what comes of it.",
            [
                Query(f"distill_sample_to_insert_target_ratio{RUN}", "target"),
                Query(f"distill_sample_to_insert_ratio{RUN}", "since the run began"),
                Query(f"run:distill_sample_to_insert:ratio10m{RUN}", "10 minutes"),
            ],
        ),
        Lines(
            "Transitions collected per second",
            "All games share one ratio, so the slowest game holds up the learner.",
            [Query(f"run_game:distill_transitions_collected:rate1m{GAME}", "{{game}}")],
        ),
    ],
)

BUFFER = Row(
    "Is the buffer filling?",
    [
        Lines(
            "Fill of the buffer",
            "It fills once and stays full: what has been read makes room for what is new.",
            [Query(f"run_game:distill_buffer_fill:ratio{GAME}", "{{game}}")],
            unit="percentunit",
            top=1.0,
        ),
        Lines(
            "Chunks per second",
            "At a full buffer as many are dropped as come in.",
            [
                Query(f"sum(rate(distill_chunks_pushed_total{GAME}[$__rate_interval]))", "pushed"),
                Query(f"sum(rate(distill_chunks_trimmed_total{GAME}[$__rate_interval]))", "dropped after reading"),
            ],
        ),
        Lines(
            "Memory of the buffer",
            "As Redis estimates it.",
            [Query(f"distill_buffer_bytes{GAME}", "{{game}}")],
            unit="bytes",
        ),
        Lines(
            "Transitions",
            "In the buffer service and in the learner's replay.",
            [
                Query(f"sum(distill_buffer_transitions{GAME})", "buffer"),
                Query(f"sum(distill_replay_transitions{GAME})", "replay"),
            ],
            width=12,
        ),
        Lines(
            "Refused chunks in 10 minutes",
            "By reason; docs/buffer.md explains them. It should be 0.",
            [Query(f"increase(distill_chunks_rejected_total{RUN}[10m])", "{{reason}}")],
            width=12,
        ),
    ],
)

ACTORS = Row(
    "Are the actors healthy?",
    [
        Table(
            "Firing alerts",
            "docs/runbook.md tells what to do about each.",
            ["alertname", "severity"],
            [Query('count by (alertname, severity) (ALERTS{run="$run",alertstate="firing"})', "alerts")],
            width=8,
            empty="no alert",
        ),
        Number(
            "Since the newest update",
            "Red after two minutes.",
            Query(f"time() - distill_last_update_timestamp_seconds{RUN}", "age"),
            unit="s",
            bad=120,
        ),
        Number(
            "Since the newest checkpoint",
            "What a crash of the learner would cost. Red after ten minutes.",
            Query(f"time() - distill_last_checkpoint_timestamp_seconds{RUN}", "age"),
            unit="s",
            bad=600,
        ),
        Lines(
            "Processes",
            "That work, and that should.",
            [
                Query(f"distill_actors_alive{RUN}", "{{role}}"),
                Query(f"distill_actors_desired{RUN}", "{{role}} desired"),
            ],
        ),
        Lines(
            "Restarts in 10 minutes",
            "By role. From four on it is a loop.",
            [Query(f"increase(distill_actor_restarts_total{RUN}[10m])", "{{role}}")],
        ),
        Lines(
            "Versions behind",
            "The collector of each game with the oldest weights.",
            [Query(f"distill_policy_version_lag{GAME}", "{{game}}")],
        ),
        Lines(
            "Episodes per minute",
            "Of the collectors.",
            [Query(f"60 * sum by (game) (rate(distill_episodes_total{GAME}[$__rate_interval]))", "{{game}}")],
        ),
    ],
)


def _durations(title: str, text: str, metric: str, width: int) -> Lines:
    buckets = f"sum by (le) (rate({metric}_bucket{GAME}[$__rate_interval]))"
    return Lines(
        title,
        text,
        [
            Query(f"histogram_quantile(0.5, {buckets})", "median"),
            Query(f"histogram_quantile(0.95, {buckets})", "95 %"),
        ],
        unit="s",
        width=width,
    )


TIME = Row(
    "Where does the time go?",
    [
        _durations("Inference", "One forward of all lanes in a collector.", "distill_inference_seconds", 8),
        _durations("Environment", "One step of all lanes in a collector.", "distill_environment_step_seconds", 8),
        _durations("Push", "Packing and pushing one chunk.", "distill_push_seconds", 8),
        _durations("Update", "One update of the learner.", "distill_update_seconds", 12),
        _durations("Gather", "One minibatch out of the replay.", "distill_gather_seconds", 12),
    ],
)
