"""The registry and ledger of one lineage in the run's folder alone, for a run of one process that needs no Redis.

The files are those that other runs keep as a copy beside their Redis. Each is written whole, decisions before the names
that follow from them, so a process may be killed between any two writes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from actors.evaluation import EvaluationTask
from cluster.models.blocks import scores_key
from cluster.models.decisions import Decisions, Promotion
from cluster.models.ledger import Ledger, as_outage
from cluster.models.mirror import ModelMirror
from cluster.models.promotions import set_aside
from cluster.models.record import LATEST, LineageRecord
from cluster.models.registry import KEEP, wanted


class FolderLedger:
    """Implements `distill.protocols.ModelRegistry` and what `Ledger` adds to it.

    Every method raises RunError if the folder is damaged, and one that writes BufferUnavailable if the disk takes no
    more: others bear that by trying again.

    Args:
        directory: the run's folder.
        lineage: the lineage of models.
    """

    def __init__(self, directory: Path, lineage: str) -> None:
        self._lineage = lineage
        self._mirror = ModelMirror(directory, lineage)

    def synchronise(self) -> LineageRecord:
        """Return what is known."""
        mirror = self._mirror
        decisions, newest = mirror.decisions(), max(mirror.versions(), default=0)
        # What was promoted last is known best from the promotions, and which version is the newest from the files.
        names = mirror.names() | decisions.names | ({LATEST: newest} if newest else {})
        return LineageRecord("", newest, names, frozenset(mirror.held()), decisions)

    def publish(self, data: bytes, metadata: Mapping[str, Any]) -> int:
        """Store a model, point `latest` at it, and return its version."""
        with as_outage(), self._mirror.locked():
            version = self.synchronise().newest + 1
            self._mirror.store(version, data, json.dumps(dict(metadata), sort_keys=True))
            self._settle({})
        return version

    def fetch(self, version: int) -> bytes:
        """Return a version's bytes. Raises RunError if they were dropped or removed."""
        return self._mirror.require_data(version)

    def has(self, version: int) -> bool:
        """Return whether a version's bytes are there."""
        return self._mirror.has(version)

    def describe(self, version: int) -> dict[str, Any]:
        """Return a version's metadata. Raises RunError if there is no such version."""
        return self._mirror.metadata(version)

    def resolve(self, name: str) -> int | None:
        """Return the version that a name points at, or None."""
        return self.synchronise().names.get(name)

    def assign(self, name: str, version: int) -> None:
        """Point a name at a version, whose bytes are then kept. Raises RunError if they were dropped or removed."""
        with as_outage(), self._mirror.locked():
            self._mirror.require_data(version)
            self._settle({name: version})

    def add_scores(self, task: EvaluationTask, scores: Sequence[float]) -> None:
        """Note the raw scores of a block of episodes; noting the same block again changes nothing."""
        key = scores_key(task.version, task.game, task.purpose, task.block)
        with as_outage(), self._mirror.locked():
            self._note(Decisions(scores={key: list(scores)}))

    def turn_down(self, version: int, verdict: Literal["rejected", "superseded"], why: str) -> bool:
        """Decide against a version; return False if it has a verdict already."""
        with as_outage(), self._mirror.locked():
            return self._decide(version, Decisions(verdicts={version: {"verdict": verdict, "why": why}}))

    def set_aside(self, version: int) -> None:
        """Keep a copy of a version's weights until the lineage has trained twice as long."""
        with as_outage(), self._mirror.locked():
            set_aside(self._mirror, version)

    def promote(self, promotion: Promotion) -> bool:
        """Point the names at a version and note why; return False if it has a verdict already.

        Raises:
            RunError: if its bytes were dropped or removed.
        """
        verdict = {"verdict": "promoted", "why": promotion.why}
        with as_outage(), self._mirror.locked():
            self._mirror.require_data(promotion.version)
            return self._decide(promotion.version, Decisions((promotion,), {promotion.version: verdict}))

    def roll_back(self, promotion: Promotion) -> None:
        """Point the names at a version that was decided on before. Raises RunError if its bytes were dropped."""
        with as_outage(), self._mirror.locked():
            self._mirror.require_data(promotion.version)
            self._note(Decisions((promotion,)))

    def _decide(self, version: int, decision: Decisions) -> bool:
        if version in self._mirror.decisions().verdicts:
            return False
        self._note(decision)
        return True

    def _note(self, more: Decisions) -> None:
        self._mirror.store_decisions(self._mirror.decisions().merged(more))
        self._settle({})

    def _settle(self, names: Mapping[str, int]) -> None:
        """Write what names point at, and drop the bytes that nobody will want."""
        known = self.synchronise()
        names = {**known.names, **names}
        self._mirror.store_names(names)
        undecided = {version for version in known.held if version not in known.decisions.verdicts}
        self._mirror.keep_only(undecided | wanted(known.held, names, known.decisions.promotions, KEEP))


AnyLedger = Ledger | FolderLedger
"""What a coordinator works on: a lineage in Redis and the run's folder, or in the folder alone."""
