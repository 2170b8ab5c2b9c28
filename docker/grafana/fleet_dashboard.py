"""The dashboard of all runs: which there are, which learn best, and which need somebody."""

from grafana_foundation_sdk.models import dashboard
from panels import Lines, Number, Query, Row, Table, make_dashboard, query_variable

RUNS = '{run=~"$run"}'
TO_RUN = "/d/distill-run?var-run=${__value.text}"
FIRING = '{run=~"$run",alertstate="firing"}'


def fleet_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of all runs."""
    return make_dashboard(
        uid="distill-fleet",
        title="Distillation fleet",
        text="All runs that Prometheus scrapes, side by side.",
        variables=[query_variable("run", "runs", 'label_values(up{job="distill"}, run)', several=True)],
        rows=[RUNS_ROW, LEARNING, WAITING, USE, TROUBLE],
    )


RUNS_ROW = Row(
    "Which runs are there?",
    [
        Table(
            "Runs",
            "A name leads to the run's own dashboard. Runs whose process was killed stay here with `up` 0.",
            ["run"],
            [
                Query('max by (run) (up{job="distill",run=~"$run"})', "up"),
                Query(f"avg by (run) (distill_score_ratio{RUNS})", "student / teacher"),
                Query(f"sum by (run) (run:distill_learner_updates:rate1m{RUNS})", "updates/s"),
                Query(f"sum by (run) (run_game:distill_transitions_collected:rate1m{RUNS})", "transitions/s"),
                Query(f"sum by (run) (distill_actors_alive{RUNS})", "processes"),
                Query(f"sum by (run) (distill_actors_desired{RUNS} - distill_actors_alive{RUNS})", "missing"),
                Query(f"count by (run) (ALERTS{FIRING})", "alerts"),
            ],
            units=(("student / teacher", "percentunit"),),
            width=16,
            link=TO_RUN,
            empty="no run is announced",
        ),
        Number(
            "Runs that answer",
            "Of those that are announced.",
            Query('sum(up{job="distill",run=~"$run"})', "runs"),
        ),
        Number(
            "Firing alerts",
            "Of all severities.",
            Query(f"count(ALERTS{FIRING}) or vector(0)", "alerts"),
            bad=1,
        ),
    ],
)

LEARNING = Row(
    "Which ones learn best?",
    [
        Lines(
            "Student / teacher, mean over games",
            "Newest scored version of each run.",
            [Query(f"avg by (run) (distill_score_ratio{RUNS})", "{{run}}")],
            unit="percentunit",
            width=12,
            top=1.0,
        ),
        Lines(
            "Student / teacher, weakest game",
            "A mean hides a game that is not learned.",
            [Query(f"min by (run) (distill_score_ratio{RUNS})", "{{run}}")],
            unit="percentunit",
            width=12,
            top=1.0,
        ),
        Lines(
            "Updates per second",
            "Of each run's learner.",
            [Query(f"run:distill_learner_updates:rate1m{RUNS}", "{{run}}")],
            width=12,
        ),
        Lines(
            "Samples per second",
            "Transitions that each run's learner trains on.",
            [Query(f"run:distill_learner_samples:rate1m{RUNS}", "{{run}}")],
            width=12,
        ),
    ],
)

WAITING = Row(
    "Who waits for whom?",
    [
        Lines(
            "Learners waiting for data",
            "Share of time. These runs could use more collectors.",
            [Query('run_side:distill_buffer_wait:ratio5m{run=~"$run",side="learner"}', "{{run}}")],
            unit="percentunit",
            width=12,
            top=1.0,
        ),
        Lines(
            "Collectors waiting for room",
            "Share of time. These runs have collectors to spare.",
            [Query('run_side:distill_buffer_wait:ratio5m{run=~"$run",side="actor"}', "{{run}}")],
            unit="percentunit",
            width=12,
            top=1.0,
        ),
    ],
)

USE = Row(
    "What do they use?",
    [
        Lines(
            "Memory of the buffers",
            "As Redis estimates it.",
            [Query(f"sum by (run) (distill_buffer_bytes{RUNS})", "{{run}}")],
            unit="bytes",
        ),
        Lines(
            "Processes",
            "By role, over all chosen runs.",
            [Query(f"sum by (role) (distill_actors_alive{RUNS})", "{{role}}")],
        ),
        Lines(
            "Transitions collected per second",
            "Over all games.",
            [Query(f"sum by (run) (run_game:distill_transitions_collected:rate1m{RUNS})", "{{run}}")],
        ),
    ],
)

TROUBLE = Row(
    "Which ones need somebody?",
    [
        Table(
            "Firing alerts",
            "docs/runbook.md tells what to do about each.",
            ["run", "alertname", "severity"],
            [Query(f"count by (run, alertname, severity) (ALERTS{FIRING})", "alerts")],
            width=12,
            link=TO_RUN,
            empty="no alert",
        ),
        Lines(
            "Restarts in 10 minutes",
            "Of all roles.",
            [Query(f"sum by (run) (increase(distill_actor_restarts_total{RUNS}[10m]))", "{{run}}")],
            width=6,
        ),
        Lines(
            "Age of the newest checkpoint",
            "What a crash of the learner would cost.",
            [Query(f"time() - distill_last_checkpoint_timestamp_seconds{RUNS}", "{{run}}")],
            unit="s",
            width=6,
        ),
    ],
)
