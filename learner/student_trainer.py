"""Trains the student: on the labels of fixed teachers, or on those of the best teacher so far."""

import logging
from collections.abc import Mapping
from pathlib import Path

from distill.architectures import ARCHITECTURES
from distill.evaluation_protocols import DISTILL
from distill.following import ModelFollower
from distill.model_card import ModelCard
from distill.networks import QNetwork
from distill.protocols import STUDENT, Services
from distill.typed_torch import manual_seed
from learner.device import autocast_dtype, choose_device
from learner.label_replay import LabelReplay
from learner.memory import keep_freed_memory
from learner.plans import StudentPlan
from learner.ranks import Ranks
from learner.status import LearnerStatus
from learner.student_updater import FreshLabels, StudentUpdater
from learner.trainer import Trainer

log = logging.getLogger(__name__)


class StudentTrainer(Trainer):
    """Trains one student on the chunks of its games; see `Trainer`.

    Args:
        plan: what to train.
        actions: A of every game.
        services: where chunks and teachers come from and models go to.
        directory: the run's folder.
        threaded: see `Trainer`.
        ranks: those that train it together, as many as the plan says; None for one.
    """

    def __init__(
        self,
        plan: StudentPlan,
        actions: Mapping[str, int],
        services: Services,
        directory: Path,
        *,
        threaded: bool,
        ranks: Ranks | None = None,
    ) -> None:
        rank, size = 0, 1
        if ranks is not None:
            plan, rank, size = plan.shared(), ranks.rank, ranks.size
        training, settings = plan.training, plan.learner.optimization
        device = choose_device(training.device) if ranks is None else ranks.device
        if device.type == "cpu":
            keep_freed_memory()
        manual_seed(plan.seed)
        network = QNetwork(ARCHITECTURES[plan.student.student], dict(actions))
        label_replays = {
            game: LabelReplay(
                count, training.replay_capacity, plan.chunk_steps, device, compressed=training.replay == "compressed"
            )
            for game, count in actions.items()
        }
        self._labels = FreshLabels(device) if plan.teachers and plan.labels == "fresh" else None
        dtype = autocast_dtype(device, training.precision)
        self._plan = plan
        self._followers = {
            game: ModelFollower(services.registry(lineage), "best", lambda network: network)
            for game, lineage in (plan.teachers or {}).items()
        }
        super().__init__(
            STUDENT,
            services.registry(STUDENT),
            StudentUpdater(
                network,
                label_replays,
                plan.student,
                settings,
                device,
                dtype,
                plan.seed,
                labels=self._labels,
                taus=plan.taus,
                ranks=ranks,
                compile_updates=training.compile,
            ),
            label_replays,
            actions,
            services.reader(plan.rank, rank, size),
            training,
            settings.batch_size,
            plan.learner.pace,
            directory / "checkpoints" / STUDENT,
            threaded=threaded,
            run_id=services.run_id,
            incarnation=services.incarnation,
            ranks=ranks,
        )

    @property
    def spent(self) -> float:
        """Share of the updates that are made."""
        return self.updater.updates / self._plan.learner.updates

    def close(self) -> LearnerStatus:
        """Do what `Trainer.close` does, and follow the teachers no longer."""
        for follower in self._followers.values():
            follower.close()
        return super().close()

    def _versions_due(self) -> int:
        return self.updater.updates // self._plan.eval_every

    def _take_arrivals(self) -> None:
        """Take each game's new best teacher, if there is one."""
        for game, follower in self._followers.items():
            model = follower.poll()
            if model is None:
                continue
            if self._labels is not None:
                self._labels.set_teacher(game, model.model)
            else:
                self.feed.least_version[game] = model.version
                dropped = self.replays[game].drop_before(model.version)
                log.info("%s: %d transitions with labels of older teachers are dropped", game, dropped)
            log.info("%s is taught by version %d", game, model.version)

    def _is_ready(self) -> bool:
        """Return whether every game has a teacher."""
        return all(follower.version for follower in self._followers.values())

    def _lag(self) -> dict[str, float]:
        # The version that labels is the newest promoted one that has arrived; stored labels carry their own.
        versions = self.updater.sampled_version
        behind = {game: follower.newest - follower.version for game, follower in self._followers.items()}
        if self._labels is not None:
            return {game: float(lag) for game, lag in behind.items()}
        return {game: self._followers[game].newest - versions[game] for game in behind if game in versions}

    def taught_by(self) -> dict[str, int]:
        """Return the version of each game's teacher, 0 before the first; empty where teachers are fixed."""
        return {game: follower.version for game, follower in self._followers.items()}

    def _card(self) -> ModelCard:
        student, network = self._plan.student, self.updater.judged
        training = {
            "method": "online policy distillation" if self._followers else "policy distillation",
            "loss": student.loss,
            "tau": student.tau,
            **({"taus": dict(self._plan.taus)} if self._plan.taus else {}),
            "protocol": DISTILL.name,
            "seed": self._plan.seed,
            "average": self._plan.learner.average,
            **self._metadata(),
        }
        if self._followers:
            training["taught_by"] = self.taught_by()
        labels = "q-values" if student.loss == "mse" else "logits"
        return ModelCard("student", network.architecture, network.actions, training=training, labels=labels)
