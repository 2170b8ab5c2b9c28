"""What was decided about the versions of one lineage: scores of their episodes, verdicts, promotions and roll-backs.

Every change is one atomic write to Redis; the copy in the run's folder follows it. A process that is killed between the
two, or before either, leaves nothing half-written: the next one begins with what Redis says.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import redis
from redis.client import Pipeline

from actors.evaluation import EvaluationTask, Purpose
from cluster.models.blocks import parse_scores_key, scores_key
from cluster.models.mirror import ModelMirror
from cluster.models.promotions import Promotion, in_last_half, promotion_of
from cluster.models.registry import LATEST, RedisModelRegistry
from cluster.redis.connection import reaching
from cluster.redis.holder import Holder
from cluster.redis.keys import model_keys
from cluster.redis.typed_redis import typed
from distill.errors import RunError

Verdict = Literal["promoted", "rejected", "superseded"]
Blocks = dict[Purpose, dict[int, list[float]]]
"""Raw scores of a version at a game, by purpose and number of the block of episodes."""


class Ledger(RedisModelRegistry):
    """The model registry of one lineage, with what was decided about its versions.

    Every method raises BufferUnavailable if Redis cannot be reached or refuses a write for want of memory.

    Args:
        client: the connection; the caller closes it.
        run: name of the run.
        lineage: the lineage of models.
        directory: the run's folder, see `RedisModelRegistry`.
        holder: the process that writes, see there.
    """

    def __init__(
        self,
        client: redis.Redis,
        run: str,
        lineage: str,
        directory: Path | None = None,
        *,
        holder: Holder | None = None,
    ) -> None:
        super().__init__(client, run, lineage, directory, holder=holder)
        keys = model_keys(run, lineage)
        self._scores, self._verdicts = keys.scores, keys.verdicts
        if self._mirror is not None:
            with self._mirror.locked():
                self._restore_ledger(self._mirror)
                self._mirror_ledger(self._mirror)

    def add_scores(self, task: EvaluationTask, scores: Sequence[float]) -> None:
        """Note the raw scores of a block of episodes; noting the same block again changes nothing."""
        key = scores_key(task.version, task.game, task.purpose, task.block)

        def queue(pipeline: Pipeline) -> None:
            pipeline.multi()
            pipeline.hset(self._scores, key, json.dumps(list(scores)))

        with reaching(self._client, f"note scores of version {task.version}"):
            self._transact(queue)
        self._mirror_now()

    def scores(self) -> dict[int, dict[str, Blocks]]:
        """Return all raw scores by version and game."""
        with reaching(self._client, "read scores"):
            rows = self._client.hgetall(self._scores)
        found: dict[int, dict[str, Blocks]] = {}
        for key, text in cast(dict[bytes, bytes], rows).items():
            version, game, purpose, block = parse_scores_key(key.decode())
            found.setdefault(version, {}).setdefault(game, {}).setdefault(purpose, {})[block] = json.loads(text)
        return found

    def verdicts(self) -> dict[int, Verdict]:
        """Return what became of every version that was decided on."""
        with reaching(self._client, "read verdicts"):
            rows = self._client.hgetall(self._verdicts)
        return {int(version): json.loads(text)["verdict"] for version, text in rows.items()}

    def promotions(self) -> list[Promotion]:
        """Return promotions and roll-backs, oldest first."""
        with reaching(self._client, "read promotions"):
            return [promotion_of(json.loads(row)) for row in self._client.lrange(self._promotions, 0, -1)]

    def turn_down(self, version: int, verdict: Literal["rejected", "superseded"], why: str) -> bool:
        """Decide against a version; return False if it has a verdict already."""

        def queue(pipeline: Pipeline) -> bool:
            known = self._has_verdict(pipeline, version)
            pipeline.multi()
            if not known:
                pipeline.hset(self._verdicts, str(version), json.dumps({"verdict": verdict, "why": why}))
            return not known

        with reaching(self._client, f"decide on version {version}"):
            decided = self._transact(queue)
        self._mirror_now()
        return decided

    def set_aside(self, version: int) -> None:
        """Keep a copy of a version's weights in the run's folder, until the lineage has trained twice as long.

        Weights that were dropped already, or a registry without a folder, leave nothing to keep.

        Raises:
            RunError: if there is no such version.
        """
        if self._mirror is None or version in self._mirror.aside():
            return
        newest = self.describe(self.resolve(LATEST) or version)
        if not in_last_half(self.describe(version), newest):
            return
        with self._mirror.locked():
            self._mirror.set_aside(version)
            for other in self._mirror.aside():
                if not in_last_half(self.describe(other), newest):
                    self._mirror.drop_aside(other)

    def promote(self, promotion: Promotion) -> bool:
        """Point the names at a version and note why, all at once; return False if it has a verdict already.

        Raises:
            RunError: if the registry does not hold the version, or not any more.
        """

        def queue(pipeline: Pipeline) -> bool | None:
            if self._has_verdict(pipeline, promotion.version):
                pipeline.multi()
                return False
            if not self._point(pipeline, promotion):
                return None
            verdict = json.dumps({"verdict": "promoted", "why": promotion.why})
            pipeline.hset(self._verdicts, str(promotion.version), verdict)
            return True

        return self._apply(promotion, queue)

    def roll_back(self, promotion: Promotion) -> None:
        """Point the names at a version that was decided on before.

        Raises:
            RunError: if the registry does not hold the version, or not any more.
        """

        def queue(pipeline: Pipeline) -> bool | None:
            return True if self._point(pipeline, promotion) else None

        self._apply(promotion, queue)

    def _apply(self, promotion: Promotion, queue: Callable[[Pipeline], bool | None]) -> bool:
        with reaching(self._client, f"promote version {promotion.version}"):
            done = self._transact(queue)
        if done is None:
            raise self._missing(promotion.version)
        self._mirror_now()
        return done

    def _point(self, pipeline: Pipeline, promotion: Promotion) -> bool:
        held = promotion.version in self._held_in(pipeline)
        pipeline.multi()
        if held:
            for name in promotion.names:
                pipeline.hset(self._names, name, promotion.version)
            pipeline.rpush(self._promotions, json.dumps(asdict(promotion)))
        return held

    def _has_verdict(self, pipeline: Pipeline, version: int) -> bool:
        """Return whether a version was decided on; it stays so until the pipeline is executed."""
        pipeline.watch(self._verdicts)
        return bool(pipeline.hexists(self._verdicts, str(version)))

    def _mirror_now(self) -> None:
        if self._mirror is not None:
            with self._mirror.locked():
                self._mirror_ledger(self._mirror)

    def _mirror_ledger(self, mirror: ModelMirror) -> None:
        with reaching(self._client, "copy its decisions"):
            verdicts = cast(dict[bytes, bytes], self._client.hgetall(self._verdicts))
            scores = cast(dict[bytes, bytes], self._client.hgetall(self._scores))
        mirror.store_ledger({
            "promotions": [asdict(promotion) for promotion in self.promotions()],
            "verdicts": {key.decode(): json.loads(text) for key, text in verdicts.items()},
            "scores": {key.decode(): json.loads(text) for key, text in scores.items()},
        })  # fmt: skip
        self._mirror_names(mirror)

    def _restore_ledger(self, mirror: ModelMirror) -> None:
        """Give Redis what it lacks, because it is empty or was killed before it had written it."""
        known = mirror.ledger()
        if not known:
            return
        try:
            lost = [promotion_of(row) for row in known["promotions"]][len(self.promotions()) :]
            with reaching(self._client, "restore decisions"):
                pipeline = typed(self._client).pipeline(transaction=True)
                for key, kind in ((self._verdicts, "verdicts"), (self._scores, "scores")):
                    for field, value in cast(Mapping[str, Any], known[kind]).items():
                        pipeline.hsetnx(key, field, json.dumps(value))
                for promotion in lost:
                    pipeline.rpush(self._promotions, json.dumps(asdict(promotion)))
                    for name in promotion.names:
                        pipeline.hset(self._names, name, promotion.version)
                pipeline.execute()
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"ledger of {self._lineage}: expected promotions, verdicts and scores, found {error}"
            ) from error
