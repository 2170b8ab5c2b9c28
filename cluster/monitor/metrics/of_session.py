"""Reports what a session knows to the exporter, once a second: the one place where a run meets its metrics."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager

from cluster.buffer.stats import game_stats
from cluster.monitor.metrics.exporter import Exporter
from cluster.monitor.metrics.target import announced
from cluster.redis.connection import connect
from cluster.state.session import Session
from distill.config import MonitoringConfig
from distill.errors import BufferUnavailable
from distill.protocols import STUDENT
from learner.status import LearnerStatus

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
BUFFER_SECONDS = 5.0
HISTOGRAMS = {
    "inference": "distill_inference_seconds",
    "environment": "distill_environment_step_seconds",
    "push": "distill_push_seconds",
    "update": "distill_update_seconds",
    "gather": "distill_gather_seconds",
}


class RunMetrics:
    """Hands a session's state to an exporter.

    Args:
        exporter: what serves it.
        session: of a run.
    """

    def __init__(self, exporter: Exporter, session: Session) -> None:
        self._exporter = exporter
        self._session = session
        self._address = session.services.address
        self._clients = [connect(url, timeout=1.0) for url in (self._address.servers if self._address else ())]
        self._report_at = 0.0
        self._buffer_at = 0.0
        self._updates: dict[str, int] = {}
        self._checkpoints: dict[str, int] = {}
        self._evaluations = 0
        self._promotions = 0

    @property
    def address(self) -> str:
        """Where they are served, `host:port`."""
        return self._exporter.address

    def update(self, *, at_once: bool = False) -> None:
        """Report, if a second has passed since the last report or it is to be done at once."""
        now = time.monotonic()
        if now < self._report_at and not at_once:
            return
        self._report_at = now + REPORT_SECONDS
        for name in self._session.take_replaced():
            self._exporter.forget(name)
        self._report_actors()
        for lineage, status in self._session.learners.items():
            self._report_learner(status, self._session.kind.paces[lineage])
        self._report_drivers()
        self._report_scores()
        self._report_decisions()
        if now >= self._buffer_at:
            self._buffer_at = now + BUFFER_SECONDS
            self._report_buffer()

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _report_actors(self) -> None:
        exporter, session = self._exporter, self._session
        for role, (alive, desired) in session.actors.items():
            exporter.set("distill_actors_alive", alive, role=role)
            exporter.set("distill_actors_desired", desired, role=role)
        for role, count in session.restarts.items():
            exporter.set_total("distill_actor_restarts_total", count, "session", role=role)
        for kind, count in session.unwritten.counts.items():
            exporter.set_total("distill_write_failures_total", count, "session", reason=kind)
        for name, player in session.players.items():
            game = player.game
            exporter.set_total("distill_transitions_collected_total", player.transitions, name, game=game)
            exporter.set_total("distill_episodes_total", player.episodes, name, game=game)
            exporter.set_total("distill_chunks_pushed_total", player.writer.chunks, name, game=game)
            exporter.set_total("distill_buffer_wait_seconds_total", player.seconds["wait"], name, side="actor")
            for kind, totals in player.histograms.items():
                exporter.observe(HISTOGRAMS[kind], totals, name, game=game)

    def _report_learner(self, status: LearnerStatus, target: float | None) -> None:
        exporter, lineage = self._exporter, status.lineage
        totals: list[tuple[str, float, dict[str, str]]] = [
            ("distill_learner_updates_total", status.updates, {}),
            ("distill_learner_samples_total", status.samples, {}),
            ("distill_nonfinite_updates_total", status.nonfinite_updates, {}),
            ("distill_buffer_wait_seconds_total", status.sample_wait_seconds, {"side": "learner"}),
            ("distill_buffer_wait_seconds_total", status.insert_wait_seconds, {"side": "feed"}),
        ]
        first = lineage not in self._updates
        if first:
            self._updates[lineage], self._checkpoints[lineage] = status.updates, status.checkpoint_updates
        for name, total, labels in totals:
            if first and self._session.sitting == 0:
                # What a new run has counted before its first report counts; what an earlier sitting has does not.
                exporter.set_total(name, 0, lineage, resumed=True, **labels)
            exporter.set_total(name, total, lineage, resumed=True, **labels)
        for reason, count in status.rejected.items():
            exporter.set_total("distill_chunks_rejected_total", count, lineage, reason=reason)
        for game, count in status.replay.items():
            exporter.set("distill_replay_transitions", count, lineage, game=game)
        for game, loss in status.loss.items():
            exporter.set("distill_loss", loss, lineage, game=game)
        for game, lag in status.lag.items():
            exporter.set("distill_policy_version_lag", lag, lineage, game=game)
        for kind, by_game in status.histograms.items():
            for game, observed in by_game.items():
                exporter.observe(HISTOGRAMS[kind], observed, lineage, game=game)
        exporter.set("distill_sample_to_insert_ratio", status.ratio, lineage)
        exporter.set("distill_sample_to_insert_target_ratio", target or 0.0, lineage)
        if status.updates > self._updates[lineage]:
            exporter.set("distill_last_update_timestamp_seconds", time.time())
        if status.checkpoint_updates > self._checkpoints[lineage]:
            exporter.set("distill_last_checkpoint_timestamp_seconds", time.time())
        self._updates[lineage], self._checkpoints[lineage] = status.updates, status.checkpoint_updates

    def _report_scores(self) -> None:
        exporter, session = self._exporter, self._session
        for game in session.games:
            if session.kind.taught and (mean := session.teacher_mean(game)) is not None:
                exporter.set("distill_score", mean, game=game, who="teacher")
            if (ratio := session.ratio(game)) is not None:
                exporter.set("distill_score_ratio", ratio, game=game)
        for (lineage, game), mean in session.scores.items():
            exporter.set("distill_score", mean, game=game, who=session.kind.lineage(lineage).who)
        for lineage, state in session.states.items():
            for game, mean in state.best_means.items():
                exporter.set("distill_best_score", mean, game=game, who=session.kind.lineage(lineage).player)

    def _report_drivers(self) -> None:
        """Report how far behind the students are that drive in a fixed teacher's stead."""
        session = self._session
        for player in session.players.values():
            if session.kind.taught and player.driver_version:
                lag = session.learners[STUDENT].version - player.driver_version
                self._exporter.set("distill_policy_version_lag", max(0, lag), game=player.game)

    def _report_decisions(self) -> None:
        exporter, evaluated = self._exporter, self._session.evaluated
        promotions = sum(state.promotions for state in self._session.states.values())
        for game in self._session.games:
            exporter.set_total("distill_evaluations_total", evaluated.get(game, 0), "session", game=game)
        exporter.set_total("distill_promotions_total", promotions, "session", resumed=True)
        if sum(evaluated.values()) > self._evaluations:
            exporter.set("distill_last_evaluation_timestamp_seconds", time.time())
        if promotions > self._promotions:
            exporter.set("distill_last_promotion_timestamp_seconds", time.time())
        self._evaluations, self._promotions = sum(evaluated.values()), promotions

    def _report_buffer(self) -> None:
        address, exporter = self._address, self._exporter
        if address is None:
            return
        limits = address.limits
        for game in address.games:
            exporter.set("distill_buffer_capacity_transitions", limits.capacity, game=game)
            for server, shards in address.shards_by_server(game).items():
                try:
                    stats = game_stats(self._clients[server], address.run, game, shards=shards, readers=limits.readers)
                except BufferUnavailable as error:
                    log.debug("metrics: %s", error)
                    continue
                who = f"buffer-{server}"
                exporter.set("distill_buffer_transitions", stats.transitions, who, game=game)
                exporter.set("distill_buffer_bytes", stats.bytes, who, game=game)
                exporter.set_total("distill_chunks_trimmed_total", stats.trimmed_chunks, who, resumed=True, game=game)


@contextmanager
def serve_metrics(config: MonitoringConfig, session: Session) -> Generator[RunMetrics]:
    """Serve a session's metrics until the end, and tell Prometheus where.

    Args:
        config: where to listen, and whom to tell.
        session: whose metrics.

    Raises:
        RunError: if the address cannot be listened on.
    """
    roles = session.kind.roles if session.services.address is None else (*session.kind.roles, "redis")
    with Exporter(session.games, roles, config.metrics_host, config.metrics_port) as exporter:
        session.note(f"metrics: http://{exporter.address}/metrics")
        metrics = RunMetrics(exporter, session)
        try:
            if config.metrics_targets is None:
                yield metrics
            else:
                with announced(config.metrics_targets, session.folder.name, exporter.address):
                    yield metrics
        finally:
            metrics.close()
